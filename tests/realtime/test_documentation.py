"""docs/websocket.md describes everything that the code can say, and its client works as printed."""

import asyncio
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from websockets.exceptions import ConnectionClosed

from nanobanana.events import Event
from realtime.close_codes import CloseCode
from realtime.commands import COMMANDS
from realtime.frames import SERVER_FRAMES, DataEvent
from tests.support.people import PATIENCE, Person

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "websocket.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", PAGE, flags=re.DOTALL)
SENT_BY_UVICORN = {1007, 1009}


def frames_shown(arrow: str) -> list[str]:
    """The frames of one direction in the fenced blocks."""
    parts = [part for block in BLOCKS for part in re.split(r"^(?=[←→] )", block, flags=re.MULTILINE)]
    return [part for part in parts if part.startswith(arrow)]


def event_types(base: type[Event] = Event) -> set[str]:
    own = {base.type} if "type" in vars(base) else set()
    return own.union(*(event_types(event) for event in base.__subclasses__()))


@pytest.mark.parametrize("frame", SERVER_FRAMES, ids=lambda frame: frame.__name__)
def test_every_frame_of_the_server_is_shown_with_all_its_fields(frame: Any) -> None:
    hints = get_type_hints(frame)
    name = "message_created" if frame is DataEvent else hints["type"].__args__[0]
    fields = {f'"{field}":' for field in hints}
    shown = [text for text in frames_shown("←") if f'"type": "{name}"' in text]
    assert any(all(field in text for field in fields) for text in shown), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown_with_its_payload(command: str) -> None:
    fields = {f'"{field}":' for field in COMMANDS[command].payload().fields}
    shown = [text for text in frames_shown("→") if f'"type": "{command}"' in text]
    assert any(all(field in text for field in fields) for text in shown)


def test_no_frame_is_shown_that_does_not_exist() -> None:
    server = {get_type_hints(frame)["type"].__args__[0] for frame in SERVER_FRAMES if frame is not DataEvent}
    known = {"←": server | event_types(), "→": set(COMMANDS)}
    for arrow, types in known.items():
        shown = {match for text in frames_shown(arrow) for match in re.findall(r'^. {"type": "(\w+)"', text)}
        assert shown <= types


def test_the_table_of_events_is_complete() -> None:
    table = PAGE.partition("## Events")[2].partition("## Resuming")[0]
    assert set(re.findall(r"`(\w+_(?:created|updated|deleted|restored))`", table)) == event_types()


def test_the_table_of_close_codes_is_complete() -> None:
    table = PAGE.partition("## Close codes")[2].partition("## A client")[0]
    listed = re.findall(r"^\| (\d{4}) \|", table, flags=re.MULTILINE)
    assert set(map(int, listed)) == {*CloseCode} | SENT_BY_UVICORN


async def test_the_client_works_as_printed(alice: Person, session_id: str) -> None:
    source = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert source
    names: dict[str, Any] = {}
    exec(source[1].replace("ws://localhost:3001", alice.phone.server.websocket_url), names)
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    client = asyncio.create_task(names["listen"](session_id, alice.phone.token, heard.put, None))
    assert (await asyncio.wait_for(heard.get(), PATIENCE))["type"] == "connected"
    message = await alice.make_message(session_id)
    assert (await asyncio.wait_for(heard.get(), PATIENCE))["payload"] == {"message": message}
    await alice.phone.post("/api/auth/logout")
    with pytest.raises(ConnectionClosed, match="4401"):
        await asyncio.wait_for(client, PATIENCE)
