import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from websockets.asyncio.server import ServerConnection, serve

from bench.server import Server, free_port, running_server
from nanobanana.demo.people import Device, Person
from nanobanana.demo.report import Report
from nanobanana.demo.stage import Stage
from nanobanana.demo.terminal import Lines
from nanobanana.demo.timeline import Answer, Moment, PromiseBroken, Timeline, shorten

PROJECT = Path(__file__).resolve().parents[2]


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "demo", *options]
    return subprocess.run(command, cwd=PROJECT, env=os.environ, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def real_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


# ---- the command
def test_a_real_server_keeps_every_promise(real_server: Server, tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    run = demo("--url", real_server.url, "--html", str(page))
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"All \d+ promises kept", run.stdout)
    assert "Both accounts are deleted." in run.stdout
    assert "✗" not in run.stdout
    assert "\x1b[" not in run.stdout, "colours belong on a terminal"
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/webp;base64,") == 5
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?https?:""", html), "the page needs no other file"


def test_the_accounts_are_kept_on_request(real_server: Server) -> None:
    run = demo("--url", real_server.url, "--keep")
    assert run.returncode == 0, run.stdout + run.stderr
    for email, password in re.findall(r"(\S+@example\.com) with password (\S+?)[.\s]", run.stdout):
        form = {"email": email, "password": password}
        assert httpx.post(f"{real_server.url}/api/auth/login", json=form).status_code == 200
    assert run.stdout.count("@example.com") == 2


def test_without_a_server_one_sentence_says_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CommandError) as refusal:
        call_command("demo", "--url", url)
    assert str(refusal.value).startswith(f"No server answers at {url}/")
    assert "start the server with `make run` first" in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--url", "localhost:3001"), "must start with http:// or https://"),
        (("--html", "/nowhere/at/all/demo.html"), "there is no directory /nowhere/at/all"),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(options: tuple[str, str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("demo", *options)


async def test_a_server_that_fails_fails_the_run(tmp_path: Path) -> None:
    async with answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\nbroken") as url:
        run = await asyncio.to_thread(demo, "--url", url, "--html", str(tmp_path / "demo.html"))
    assert run.returncode == 1
    assert "✗ laptop: POST /api/auth/register is answered as it should be" in run.stdout
    assert "expected 201, saw \"500 {'notJson': 'broken'}\"" in run.stderr
    assert "A promise was broken" in (tmp_path / "demo.html").read_text(encoding="utf-8")


async def test_a_server_that_hangs_up_is_told_from_one_that_lies() -> None:
    async with answering(b"") as url:
        with pytest.raises(CommandError, match=r"^The server stopped answering"):
            await asyncio.to_thread(call_command, "demo", "--url", url)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that gives one answer to everything; its URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# ---- a device
Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def listening(script: Script) -> AsyncIterator[Device]:
    """A phone whose server sends what the script says."""
    timeline = Timeline()
    timeline.begin("A chapter")
    async with serve(script, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        phone = Device("phone", Person("Alice"), f"http://127.0.0.1:{port}", timeline, patience=0.2)
        yield phone
        await phone.close()


def sending(*frames: dict[str, Any]) -> Script:
    async def script(socket: ServerConnection) -> None:
        for frame in ({"type": "connected", "cursor": "e:0"}, *frames):
            await socket.send(json.dumps(frame))
        await socket.wait_closed()

    return script


def change(offset: int, kind: str = "message_created") -> dict[str, Any]:
    return {"type": kind, "payload": {"messageId": "M"}, "cursor": f"e:{offset}"}


async def test_a_device_hears_the_frame_it_waits_for() -> None:
    async with listening(sending(change(1, "session_updated"), change(2))) as phone:
        await phone.connect("S", by="a token in the address")
        assert (await phone.hears("message_created"))["cursor"] == "e:2"
        assert (await phone.hears("session_updated"))["cursor"] == "e:1"
        assert phone.cursor == "e:2"


async def test_a_frame_that_does_not_come_breaks_a_promise() -> None:
    async with listening(sending(change(1, "session_updated"))) as phone:
        await phone.connect("S", by="a token in the address")
        with pytest.raises(PromiseBroken, match=r"phone hears message_created within 0.2 s") as broken:
            await phone.hears("message_created")
    assert broken.value.seen == ["session_updated"]


async def test_a_change_heard_once_is_not_heard_a_second_time() -> None:
    async with listening(sending(change(1))) as phone:
        await phone.connect("S", by="a token in the address")
        await phone.hears("message_created")
        with pytest.raises(PromiseBroken):
            await phone.hears("message_created")


async def test_a_change_that_comes_twice_is_seen_twice() -> None:
    async with listening(sending(change(1), change(1), change(2))) as phone:
        await phone.connect("S", by="a token in the address")
        await phone.reaches("e:2")
        assert phone.changes == [(f"e:{offset}", "message_created") for offset in (1, 1, 2)]


async def test_a_ping_is_answered_and_moves_the_position() -> None:
    heard: list[str] = []

    async def script(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "connected", "cursor": "e:0"}))
        await socket.send(json.dumps({"type": "ping", "cursor": "e:7"}))
        heard.append(json.loads(await socket.recv())["type"])
        await socket.wait_closed()

    async with listening(script) as phone:
        await phone.connect("S", by="a token in the address")
        await phone.reaches("e:7")
    assert heard == ["pong"]


async def test_a_refused_socket_tells_its_code_and_what_leaked() -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.send('{"type": "leak"}')
        await socket.close(4404)

    async with listening(script) as phone:
        assert await phone.is_refused("S", token="T") == (4404, [{"type": "leak"}])


async def test_a_socket_that_should_be_refused_and_is_not_is_told_from_one_that_is() -> None:
    async with listening(sending()) as phone:
        code, frames = await phone.is_refused("S", token="T")
    assert code == 1000
    assert [frame["type"] for frame in frames] == ["connected"]


# ---- promises
def test_a_broken_promise_says_what_was_expected_and_what_was_seen() -> None:
    stage = Stage("http://127.0.0.1:1", PROJECT, Timeline())
    stage.timeline.begin("A chapter")
    with pytest.raises(PromiseBroken) as broken:
        stage.promise("Bob sees nothing", ["a frame"], [])
    assert str(broken.value) == "Bob sees nothing: expected [], saw ['a frame']"
    assert stage.timeline.promises_kept == 0


def test_a_field_that_an_answer_lacks_breaks_a_promise() -> None:
    with pytest.raises(PromiseBroken, match="an answer carries session"):
        Answer(message="ok")["session"]


# ---- the timeline
def timeline_of(*moments: Moment) -> Timeline:
    timeline = Timeline()
    timeline.begin("A <b>bold</b> chapter").moments += moments
    return timeline


OPENED = Moment(1, "phone", "opened", "online")
WRITE = Moment(10, "laptop", "sent", "POST /api/sessions", "201", "<script>", cursor="e:2", took=5)
OWN = Moment(14, "laptop", "heard", "session_created", cursor="e:2")
EARLIER = Moment(16, "phone", "heard", "image_created", cursor="e:1")
FRAME = Moment(18, "phone", "heard", "session_created", cursor="e:2", pictures=("P",))


def test_a_delay_counts_from_the_answer_of_the_write() -> None:
    timeline = timeline_of(OPENED, WRITE, OWN, EARLIER, FRAME)
    assert timeline.delay(FRAME) == 3
    assert timeline.delay(OWN) == -1
    assert timeline.delays() == [-1, 1, 3], "one write may tell of several changes"
    assert timeline.delay(WRITE) is None


def test_a_frame_of_another_log_has_no_delay() -> None:
    other = Moment(18, "Bob", "heard", "session_created", cursor="f:2")
    assert timeline_of(WRITE, other).delay(other) is None


def test_a_frame_that_waited_for_its_device_was_missed() -> None:
    timeline = timeline_of(OPENED, WRITE, Moment(17, "phone", "opened", "online"), FRAME)
    assert timeline.was_missed(FRAME)
    assert timeline.delay(FRAME) is None


def test_ids_are_cut_to_what_tells_them_apart() -> None:
    path = "/api/messages/01K8ZQ3V5N0000000000009ABC/images/01K8ZQ3V5N000000000000WXYZ"
    assert shorten(path) == "/api/messages/…9ABC/images/…WXYZ"


# ---- how it looks
def test_the_lines_are_in_order_and_aligned() -> None:
    timeline = timeline_of(FRAME, WRITE)
    lines = list(Lines(timeline, in_colour=False).chapter(timeline.chapters[0]))
    assert lines[2:] == [
        f"     10.0 ms  laptop → {'POST /api/sessions':<43} {'201 in 5.0 ms':<25} <script>",
        f"     18.0 ms  phone  ← {'session_created':<43} {'3.0 ms after the answer':<25} [1 picture]",
    ]


def test_colours_come_on_a_terminal() -> None:
    timeline = timeline_of(WRITE)
    assert "\x1b[" in "".join(Lines(timeline, in_colour=True).chapter(timeline.chapters[0]))


def test_frames_of_one_change_share_a_row_of_the_page() -> None:
    html = Report(timeline_of(OPENED, WRITE, OWN, FRAME), "http://localhost:3001").html()
    rows = html.split('<div class="row">')[1:]
    assert ["session_created" in row for row in rows] == [False, False, True]
    assert rows[2].count("heard") == 2


def test_the_page_escapes_what_people_wrote() -> None:
    html = Report(timeline_of(WRITE), "http://localhost:3001").html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "A &lt;b&gt;bold" in html


def test_the_page_shows_where_a_device_was_away() -> None:
    closed = Moment(2, "phone", "closed", "offline", "1000")
    back = Moment(17, "phone", "opened", "online")
    html = Report(timeline_of(OPENED, closed, WRITE, back, FRAME), "http://localhost:3001").html()
    assert re.findall(r'class="lane phone (\w*)"', html) == ["online", "away", "away", "online", "online"]
    assert "caught up" in html


def test_the_page_shows_a_broken_promise() -> None:
    timeline = timeline_of(WRITE)
    timeline.chapters[0].broken = PromiseBroken("Bob sees nothing", expected=[], seen=["a frame"])
    html = Report(timeline, "http://localhost:3001").html()
    assert "A promise was broken: Bob sees nothing" in html
    assert "a frame" in html
