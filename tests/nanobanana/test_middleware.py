"""The line a request leaves in the log, and the files it goes to."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from nanobanana.logs import AppendingFileHandler, LineFormatter
from nanobanana.server import PROJECT
from tests.support.people import Person

REQUEST_LINE = re.compile(r"(\S+) (\S+) (\d{3}) \d+\.\dms ([0-9a-f]{16})")


def request_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, ...]]:
    """(method, path, status, request id) of every line about a request."""
    records = [record for record in caplog.records if record.name == "nanobanana.requests"]
    lines = [f"{record.getMessage()} {vars(record)['request_id']}" for record in records]
    matches = [REQUEST_LINE.fullmatch(line) for line in lines]
    assert None not in matches, lines
    return [match.groups() for match in matches if match]


@pytest.fixture
async def caplog_of(alice: Person, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged from here on, when the people are there."""
    caplog.clear()
    caplog.set_level(logging.INFO, "nanobanana.requests")
    return caplog


async def test_every_request_leaves_one_line_with_its_id(
    alice: Person, caplog_of: pytest.LogCaptureFixture
) -> None:
    answers = [
        await alice.get("/api/auth/me"),
        await alice.get("/nowhere"),
        await alice.put("/api/auth/me", []),
    ]
    assert request_lines(caplog_of) == [
        ("GET", "/api/auth/me", "200", answers[0].headers["X-Request-Id"]),
        ("GET", "/nowhere", "404", answers[1].headers["X-Request-Id"]),
        ("PUT", "/api/auth/me", "400", answers[2].headers["X-Request-Id"]),
    ]


async def test_the_line_holds_no_query(alice: Person, caplog_of: pytest.LogCaptureFixture) -> None:
    await alice.get(f"/api/auth/me?token={alice.laptop.token}")
    [(_, path, _, _)] = request_lines(caplog_of)
    assert path == "/api/auth/me"


@pytest.mark.parametrize("break_", ["%0A", "%0D%0A", "%E2%80%A8", "%1B[2J", "%C2%85"])
async def test_nobody_writes_a_line_of_their_own(
    alice: Person, caplog_of: pytest.LogCaptureFixture, break_: str
) -> None:
    await alice.get(f"/x{break_}2025-01-27 10:00:00,000 ERROR nanobanana.errors forged")
    [(_, path, _, _)] = request_lines(caplog_of)
    assert path.isascii()
    assert path.isprintable()


# ---- files
@pytest.fixture
def log(tmp_path: Path) -> Iterator[logging.Logger]:
    """A logger with a file of its own in a directory that does not exist yet."""
    handler = AppendingFileHandler(tmp_path / "logs" / "combined.log")
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("test-of-log-files")
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def test_the_file_and_its_directory_are_made_with_the_first_line(log: logging.Logger, tmp_path: Path) -> None:
    assert not (tmp_path / "logs").exists()
    log.warning("Hello, 世界")
    assert (tmp_path / "logs" / "combined.log").read_text(encoding="utf-8") == "Hello, 世界\n"


def test_a_file_that_was_moved_away_is_begun_anew(log: logging.Logger, tmp_path: Path) -> None:
    log.warning("first")
    (tmp_path / "logs" / "combined.log").rename(tmp_path / "logs" / "combined.log.1")
    log.warning("second")
    assert (tmp_path / "logs" / "combined.log.1").read_text() == "first\n"
    assert (tmp_path / "logs" / "combined.log").read_text() == "second\n"


def test_a_directory_that_was_moved_away_is_made_anew(log: logging.Logger, tmp_path: Path) -> None:
    log.warning("first")
    (tmp_path / "logs").rename(tmp_path / "old")
    log.warning("second")
    assert (tmp_path / "logs" / "combined.log").read_text() == "second\n"


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("GET /ws/X?userId=Y&token=secret 101", "GET /ws/X?… 101"),
        ('"GET http://localhost:3001/a?ticket=secret HTTP/1.1"', '"GET http://localhost:3001/a?… HTTP/1.1"'),
        ("What? Nothing = nothing.", "What? Nothing = nothing."),
        ("no address at all", "no address at all"),
    ],
)
def test_addresses_are_written_without_their_query(
    log: logging.Logger, tmp_path: Path, message: str, written: str
) -> None:
    log.warning("%s", message)
    assert (tmp_path / "logs" / "combined.log").read_text(encoding="utf-8") == f"{written}\n"


def test_several_processes_write_whole_lines_into_one_file(tmp_path: Path) -> None:
    script = (
        "import logging, sys; from nanobanana.logs import AppendingFileHandler;"
        "logging.getLogger().addHandler(AppendingFileHandler(sys.argv[1]));"
        "[logging.warning('%s %s', sys.argv[2] * 200, number) for number in range(300)]"
    )
    file = tmp_path / "combined.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, file, letter], cwd=PROJECT) for letter in "abcd"
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    lines = file.read_text().splitlines()
    assert sorted(lines) == sorted(f"{letter * 200} {number}" for letter in "abcd" for number in range(300))


def everything_logged() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in Path(os.environ["LOG_DIR"]).iterdir())


async def test_no_token_is_in_any_log_file(alice: Person) -> None:
    """Of everything this process logged, the clients in it included."""
    laptop, session_id = alice.laptop, (await alice.make_session())["id"]
    ticket = (await alice.post("/api/auth/ws-ticket")).json()["ticket"]
    image = httpx.URL((await alice.make_image(session_id))["path"])
    await laptop.listen(session_id)
    await alice.phone.listen(session_id, token="", ticket=ticket)
    with pytest.raises(ConnectionClosed):
        await alice.phone.listen(session_id, token=laptop.refresh_token)
    query = f"token={laptop.token}&refreshToken={laptop.refresh_token}&ticket={ticket}"
    for path in ("/api/auth/me", "/nowhere", "/api/auth/login", f"/ws/{session_id}", "/%0A"):
        await laptop.get(f"{path}?{query}")
    await laptop.http.get(image.raw_path.decode())
    await laptop.post("/api/auth/refresh", {"refreshToken": laptop.refresh_token})
    written = everything_logged()
    assert f"/ws/{session_id}?…" in written
    for secret in (laptop.token, laptop.refresh_token, ticket, image.params["s"], alice.password):
        assert secret not in written


async def test_errors_stand_in_their_own_file_too(alice: Person) -> None:
    logging.getLogger("nanobanana.test").error("something broke %s", alice.id)
    logging.getLogger("nanobanana.test").info("something went well %s", alice.id)
    logs = Path(os.environ["LOG_DIR"])
    errors, combined = (logs / "error.log").read_text(), (logs / "combined.log").read_text()
    assert re.search(rf"ERROR nanobanana.test \S+ something broke {alice.id}", errors)
    assert f"something went well {alice.id}" not in errors
    assert f"something broke {alice.id}" in combined
    assert re.search(rf"INFO nanobanana.test \S+ something went well {alice.id}", combined)
