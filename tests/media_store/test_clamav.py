"""Uploads that are shown to ClamAV first."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from media_store import clamav
from tests.media_store.pictures import encode, jpeg_segment, photo
from tests.media_store.uploads import stored_keys
from tests.support.clamav import EICAR, Daemon, running_daemon
from tests.support.people import Person

CLEAN = encode(photo(), "JPEG")
COMMENT = 0xFE
INFECTED = CLEAN[:2] + jpeg_segment(COMMENT, EICAR) + CLEAN[2:]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    path = tmp_path / "clamd"
    with running_daemon(path) as running, override_settings(CLAMAV_URL=f"unix://{path}"):
        yield running


async def test_a_clean_picture_is_seen_as_it_was_sent(
    alice: Person, session: dict[str, Any], daemon: Daemon
) -> None:
    assert (await alice.upload(session["id"], CLEAN)).status_code == 201
    large = encode(photo(1500, 1000), "PNG")
    assert len(large) > clamav.CHUNK
    assert (await alice.upload(session["id"], large)).status_code == 201
    assert daemon.seen == [CLEAN, large]


async def test_an_infected_one_is_refused_and_nothing_of_it_stays(
    alice: Person, session: dict[str, Any], daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    await alice.phone.listen(session["id"])
    answer = await alice.upload(session["id"], INFECTED)
    assert (answer.status_code, answer.json()["error"]) == (422, "infected_file")
    assert await stored_keys(alice.id) == []
    assert await alice.phone.heard() == []
    assert "Eicar-Signature" in caplog.text


async def test_of_a_batch_the_clean_ones_are_stored(
    alice: Person, session: dict[str, Any], daemon: Daemon
) -> None:
    files = [("images", ("good", CLEAN)), ("images", ("bad", INFECTED))]
    data = {"sessionId": session["id"]}
    answer = await alice.laptop.request("POST", "/api/images/upload/batch", files=files, data=data)
    results = answer.json()["results"]
    assert len(results["successful"]) == 1
    assert [(failed["filename"], failed["error"]) for failed in results["failed"]] == [
        ("bad", "infected_file")
    ]


# ---- a daemon that is down
@pytest.fixture(params=["away", "full", "silent", "hung up", "talks of something else"])
def down(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clamav, "SECONDS_TO_ANSWER", 0.3)
    verdicts = {
        "full": lambda _: b"INSTREAM size limit exceeded. ERROR\0",
        "silent": lambda _: time.sleep(0.6) or b"stream: OK\0",
        "hung up": lambda _: b"",
        "talks of something else": lambda _: b"HTTP/1.1 200 OK\r\n\r\n",
    }
    path = tmp_path / "clamd"
    with override_settings(CLAMAV_URL=f"unix://{path}"):
        if request.param == "away":
            yield
        else:
            with running_daemon(path, verdicts[request.param]):
                yield


async def test_then_uploads_are_refused_for_a_while(
    alice: Person, session: dict[str, Any], down: None
) -> None:
    answer = await alice.upload(session["id"], CLEAN)
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"]
    assert await stored_keys(alice.id) == []


async def test_or_accepted_unchecked_when_that_is_wanted(
    alice: Person, session: dict[str, Any], down: None, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(CLAMAV_WHEN_DOWN="accept"):
        assert (await alice.upload(session["id"], CLEAN)).status_code == 201
    assert "accepted unchecked" in caplog.text


async def test_a_daemon_over_tcp_that_nobody_listens_for_is_down(
    alice: Person, session: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with override_settings(CLAMAV_URL=f"tcp://127.0.0.1:{port}"):
        assert (await alice.upload(session["id"], CLEAN)).status_code == 503
