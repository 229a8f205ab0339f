"""What is written into logs, and what never is."""

import asyncio
import errno
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import ResponseError
from websockets.exceptions import ConnectionClosed

from accounts import views
from nanobanana import log_files, logs
from nanobanana.background import log_stray_error
from nanobanana.errors import Conflict
from nanobanana.log_files import LogFile
from nanobanana.log_traces import trace_of
from nanobanana.server import PROJECT
from tests.support.log_lines import Log, lines_of
from tests.support.people import Person

logger = logging.getLogger("nanobanana.test")


# ---- lines
def test_a_line_is_json_with_what_is_needed_to_find_it() -> None:
    log = Log()
    logger.warning("Hello, %s", "世界", extra={"job": "purge"})
    [line] = log.of("nanobanana.test")
    assert line.pop("timestamp")
    assert line == {
        "level": "WARNING",
        "logger": "nanobanana.test",
        "event": "Hello, 世界",
        "job": "purge",
    }


def test_errors_stand_in_their_own_file_too() -> None:
    combined, errors = Log(), Log("error.log")
    logger.info("something went well")
    logger.error("something broke")
    assert [line["event"] for line in combined.of("nanobanana.test")] == [
        "something went well",
        "something broke",
    ]
    assert [line["event"] for line in errors.of("nanobanana.test")] == ["something broke"]
    assert '"level":"ERROR"' in errors.text  # README.md finds them with grep


def test_whatever_is_logged_is_one_line() -> None:
    log = Log()
    record = logging.makeLogRecord({"name": "nanobanana.test", "levelno": 30, "msg": "two\nlines \ud800 %s"})
    record.args, record.odd, record.none = (b"\xff",), object(), None
    logs.Handler().handle(record)
    [line] = log.of("nanobanana.test")
    assert line["event"] == "two\nlines \\ud800 b'\\xff'"
    assert line["none"] is None


LEVELS = """
import logging, sys
from nanobanana import logs
files = {"directory": sys.argv[2], "file_size": 1000, "files": 2}
logs.configure({"level": sys.argv[1], "console_level": "ERROR", "for_people": False, **files})
logging.getLogger("nanobanana.x").debug("of ours")
logging.getLogger("PIL.TiffImagePlugin").info("of a library")
logs.request_log().info("request")
logging.getLogger("botocore").warning("of a library")
logging.getLogger("chats").warning("of ours")
"""


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", ["of ours", "request", "of a library", "of ours"]),
        ("WARNING", ["of a library", "of ours"]),
    ],
)
def test_levels_are_ours_and_libraries_speak_from_warnings_on(
    level: str, written: list[str], tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-c", LEVELS, level, tmp_path], cwd=PROJECT, check=True)
    files = list(tmp_path.iterdir())
    assert [line["event"] for file in files for line in lines_of(file)] == written


# ---- the console of a developer
@pytest.fixture
def event() -> dict[str, Any]:
    moment = logs.add_moment_and_level(None, "info", {})["timestamp"]
    return {"timestamp": moment, "level": "INFO", "logger": "x", "event": "request", "route": "/health"}


def test_people_get_a_line_they_can_read(event: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    logs.to_console_for_people(event)
    written = capsys.readouterr().err
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} \[info +\] request +\[x\] route=/health\n", written), written


def test_nobody_writes_a_line_of_their_own_there(
    event: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.to_console_for_people({**event, "event": "a\nb\x1b[2J\u2028c", "exception": "Traceback:\n  x"})
    first, *rest = capsys.readouterr().err.splitlines()
    assert "a\\nb\\x1b[2J\\u2028c" in first
    assert rest == ["Traceback:", "  x"]


# ---- files
@pytest.fixture
def file(tmp_path: Path) -> Iterator[LogFile]:
    """In a directory that does not exist yet; looked after with every line."""
    file = LogFile(tmp_path / "logs" / "combined.log", size=100, count=3)
    yield file
    file.close()


@pytest.fixture
def _always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LOOK_EVERY", 0)


def test_the_file_and_its_directory_are_made_with_the_first_line(file: LogFile, tmp_path: Path) -> None:
    assert not (tmp_path / "logs").exists()
    file.write(b"first\n")
    assert (tmp_path / "logs" / "combined.log").read_bytes() == b"first\n"


@pytest.mark.usefixtures("_always_looking")
def test_a_file_or_directory_that_was_moved_away_is_begun_anew(file: LogFile, tmp_path: Path) -> None:
    file.write(b"first\n")
    (tmp_path / "logs" / "combined.log").rename(tmp_path / "logs" / "moved")
    file.write(b"second\n")
    assert (tmp_path / "logs" / "combined.log").read_bytes() == b"second\n"
    (tmp_path / "logs").rename(tmp_path / "old")
    file.write(b"third\n")
    assert (tmp_path / "logs" / "combined.log").read_bytes() == b"third\n"
    assert (tmp_path / "old" / "moved").read_bytes() == b"first\n"


@pytest.mark.usefixtures("_always_looking")
def test_a_full_file_is_turned_over_and_the_oldest_goes(file: LogFile, tmp_path: Path) -> None:
    for number in range(12):
        file.write(b"%02d" % number + b"x" * 47 + b"\n")  # two fill a file
    kept = {path.name: path.read_bytes()[::50] for path in (tmp_path / "logs").iterdir()}
    assert kept.keys() == {"combined.log", "combined.log.1", "combined.log.2"}
    firsts = {path.name: path.read_bytes()[:2] for path in (tmp_path / "logs").iterdir()}
    assert firsts == {"combined.log": b"10", "combined.log.1": b"08", "combined.log.2": b"06"}


def test_on_a_full_disk_lines_go_to_the_console_and_none_is_torn(
    file: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write(b"first\n")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:3]))
        file.write(b"second\n")
        full.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
        file.write(b"third\n")
    file.write(b"fourth\n")
    assert (tmp_path / "logs" / "combined.log").read_bytes() == b"first\nsec\nfourth\n"
    said = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" ")[2] for line in said] == ["second", "third"]


WRITER = """
import sys
from pathlib import Path
from nanobanana import log_files
log_files.LOOK_EVERY = 0.001
file = log_files.LogFile(Path(sys.argv[1]), size=60_000, count=1000)
for number in range(3000):
    file.write(f"{sys.argv[2] * 200} {number}\\n".encode())
"""


def test_several_processes_write_through_turnovers_without_losing_or_mixing_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, tmp_path / "combined.log"]
    writers = [subprocess.Popen([*command, letter], cwd=PROJECT) for letter in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    files = list(tmp_path.iterdir())
    assert len(files) > 5
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{letter * 200} {number}" for letter in "abcd" for number in range(3000))


def test_of_a_process_that_is_killed_every_line_is_whole_and_none_is_missing(tmp_path: Path) -> None:
    endless = WRITER.replace("range(3000)", "iter(range(10**9))")
    command = [sys.executable, "-c", endless, tmp_path / "combined.log"]
    writers = [subprocess.Popen([*command, letter], cwd=PROJECT) for letter in "ab"]
    while not (tmp_path / "combined.log.3").exists():
        pass
    for writer in writers:
        writer.kill()
        writer.wait()
    written = "".join(file.read_text() for file in tmp_path.iterdir())
    numbers: dict[str, list[int]] = {"a" * 200: [], "b" * 200: []}
    for line in written.splitlines():
        text, _, number = line.partition(" ")
        numbers[text].append(int(number))
    assert all(sorted(of_one) == list(range(len(of_one))) for of_one in numbers.values())
    assert written.endswith("\n")


# ---- what is left out
@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("GET /ws/X?userId=Y&token=secret 101", "GET /ws/X?… 101"),
        ('"GET http://localhost:3001/a?ticket=secret HTTP/1.1"', '"GET http://localhost:3001/a?… HTTP/1.1"'),
        ("of eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiIx.abc-_, and", "of …, and"),
        ("Authorization: Bearer 0123abcd", "Authorization: Bearer …"),
        ("{'alice@example.com': (550, b'no')}", "{'…': (550, b'no')}"),
        ("to Alice <alice+x@mail.example.co.uk>.", "to Alice <…>."),
        ("Command # 1 (GET nb:email:alice@example.com) failed", "Command # 1 (GET nb:email:…) failed"),
        ("at redis://user:p@ss@host:6379/0", "at redis://…host:6379/0"),
        ("What? Nothing = nothing, at 10:00 @ home.", "What? Nothing = nothing, at 10:00 @ home."),
    ],
)
def test_tokens_addresses_and_queries_are_left_out(message: str, written: str) -> None:
    log = Log()
    logger.warning("%s", message)
    assert [line["event"] for line in log.of("nanobanana.test")] == [written]


@pytest.mark.parametrize(
    "name", ["password", "new_password", "token", "refresh_token", "Authorization", "text", "email"]
)
def test_so_is_what_is_named_like_a_secret(name: str) -> None:
    log = Log()
    logger.warning("signed in", extra={name: "hunter2"})
    assert [line[name] for line in log.of("nanobanana.test")] == ["…"]


class Raiser:
    """Raises with a secret in a variable, in an argument and in the words of the error."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind

    def __call__(self, text: str) -> None:
        local = text
        raise self.kind(f"invalid: {local}")


SECRET = "meet me at noon"


def trace_after(action: Any, *arguments: Any) -> str:
    with pytest.raises(Exception) as caught:
        action(*arguments)
    return trace_of(caught.value)


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError, UnicodeError, Exception])
def test_a_trace_has_places_but_no_values(kind: type[Exception]) -> None:
    trace = trace_after(Raiser(kind), SECRET)
    assert SECRET not in trace
    assert f"builtins.{kind.__name__}: (its words are left out" in trace
    assert 'raise self.kind(f"invalid: {local}")' in trace
    assert "test_logs.py" in trace


def test_a_trace_tells_causes_and_parts_without_values() -> None:
    def chain(text: str) -> None:
        try:
            int(text)
        except ValueError as error:
            raise ExceptionGroup(text, [KeyError(text), OSError(errno.EIO, "Input/output error")]) from error

    trace = trace_after(chain, SECRET)
    assert SECRET not in trace
    assert re.findall(r"(?m)^(?:builtins|[\w.]+)\.(\w+): ", trace) == [
        "ValueError",
        "ExceptionGroup",
        "KeyError",
        "OSError",
    ]


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "salt"), ResponseError("ERR salt"), Conflict("salt"), AttributeError("salt")]
)
def test_words_that_are_never_a_user_s_are_kept(error: Exception) -> None:
    assert trace_of(error).endswith(" salt")


def test_lines_that_can_be_written_nowhere_fail_nothing_and_are_counted() -> None:
    """The disk of the files is full, and standard error goes to the same."""
    written: list[str] = []
    is_full = True

    def write(event: logs.Event) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(event["event"])

    sinks = logs.Sinks()
    sinks.sinks = [logs.Sink(logging.INFO, write)]
    sinks.info({"event": "lost"})
    sinks.info({"event": "lost as well"})
    is_full = False
    sinks.info({"event": "kept"})
    assert written == ["kept", "2 lines of the log could not be written."]


async def test_an_error_nobody_awaited_is_logged_without_its_words() -> None:
    async def fail() -> None:
        raise ValueError(SECRET)

    log = Log()
    loop = asyncio.get_running_loop()
    task = loop.create_task(fail())
    await asyncio.wait([task])
    error = task.exception()
    log_stray_error(loop, {"message": "Task exception was never retrieved", "exception": error, "task": task})
    [line] = log.of("nanobanana.background")
    assert (line["level"], line["event"]) == ("ERROR", "Task exception was never retrieved")
    assert "ValueError" in line["exception"]
    assert SECRET not in log.text


async def test_a_bug_is_logged_with_the_request_and_without_what_the_request_was_about(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render_nobody(user: Any) -> None:
        raise ValueError(f"{user.email} {SECRET!r}")

    monkeypatch.setattr(views, "render_user", render_nobody)
    log = Log("error.log")
    answer = await alice.get("/api/auth/me")
    [line] = log.lines
    assert (line["request_id"], line["user_id"]) == (answer.headers["X-Request-Id"], alice.id)
    assert line["event"] == "Unexpected ValueError"
    assert "render_nobody" in line["exception"]
    assert SECRET not in log.text
    assert alice.email not in log.text


# ---- all that was logged in all these tests
def everything_logged() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in Path(os.environ["LOG_DIR"]).glob("*.log*"))


@pytest.fixture
def _at_debug() -> Iterator[None]:
    """Every logger there is, the libraries' too, as no setting would have it."""
    names = [
        name
        for name in ("", *logging.root.manager.loggerDict)
        if "httpx" not in name and "httpcore" not in name
    ]
    chosen = [logging.getLogger(name) for name in names if not name.startswith(("websockets", "PIL"))]
    before = [logger.level for logger in chosen]
    for each in chosen:
        each.setLevel(logging.DEBUG)
    yield
    for each, level in zip(chosen, before, strict=True):
        each.setLevel(level)


@pytest.mark.usefixtures("_at_debug")
async def test_nothing_private_is_in_any_log_file(alice: Person) -> None:
    """Of everything this process logged, the clients in it included."""
    laptop, session_id = alice.laptop, (await alice.make_session("a private title"))["id"]
    ticket = (await alice.post("/api/auth/ws-ticket")).json()["ticket"]
    image = httpx.URL((await alice.make_image(session_id))["path"])
    await laptop.listen(session_id)
    await alice.phone.listen(session_id, token="", ticket=ticket)
    await alice.make_message(session_id, f"{SECRET} under the bridge", params={"prompt": "a private prompt"})
    await alice.get("/api/search?q=bridge")
    with pytest.raises(ConnectionClosed):
        await alice.phone.listen(session_id, token=laptop.refresh_token)
    query = f"token={laptop.token}&refreshToken={laptop.refresh_token}&ticket={ticket}"
    for path in ("/api/auth/me", "/nowhere", "/api/auth/login", f"/ws/{session_id}", "/%0A"):
        await laptop.get(f"{path}?{query}")
    await laptop.http.get(image.raw_path.decode())
    await laptop.post("/api/auth/refresh", {"refreshToken": laptop.refresh_token})
    await laptop.post("/api/auth/login", {"email": alice.email, "password": alice.password})
    await laptop.post("/api/auth/login", {"email": alice.email, "password": "a wrong password"})
    await laptop.post("/api/auth/forgot-password", {"email": alice.email})
    written = everything_logged()
    assert written.count('"event":"request"') > 10
    private = [laptop.token, laptop.refresh_token, ticket, image.params["s"], alice.email, alice.password]
    private += ["a wrong password", SECRET, "under the bridge", "a private title", "a private prompt"]
    assert [each for each in private if each in written] == []


def test_every_line_of_all_files_can_be_read() -> None:
    for file in Path(os.environ["LOG_DIR"]).glob("*.log*"):
        assert all(line.keys() >= {"timestamp", "level", "event"} for line in lines_of(file))
