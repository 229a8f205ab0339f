"""Archives in tests: exported through the API, read with the standard library, and forged by hand."""

import io
import re
import zipfile
from typing import Any

import httpx
import orjson

from tests.support.people import Device, picture

IMPORT = "/api/sessions/import"
MOMENT = "2024-02-03T04:05:06.789Z"

Entries = dict[str, bytes]


async def export(device: Device, session_id: str) -> Entries:
    return await download(device, f"/api/sessions/{session_id}/export")


async def export_account(device: Device) -> Entries:
    return await download(device, "/api/auth/me/export")


async def download(device: Device, path: str) -> Entries:
    answer = await device.get(path)
    assert answer.status_code == 200, answer.text
    return entries_of(answer.content)


async def send(device: Device, archive: bytes, **options: Any) -> httpx.Response:
    return await device.request("POST", IMPORT, files={"archive": ("archive.zip", archive)}, **options)


async def bring_in(device: Device, entries: Entries) -> list[dict[str, Any]]:
    """Import what is taken; the sessions of the answer."""
    answer = await send(device, zipped(entries))
    assert answer.status_code == 201, answer.text
    return answer.json()["sessions"]


def entries_of(archive: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {info.filename: opened.read(info) for info in opened.infolist()}


def zipped(entries: Entries, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def record(entries: Entries, name: str) -> dict[str, Any]:
    return orjson.loads(entries[name])


def records(entries: Entries, name: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in entries[name].splitlines()]


def lines(*records: Any) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in records)


# ---- archives of our own making
def manifest(**fields: Any) -> bytes:
    described = {"format": "nanobanana-archive", "version": 1, "kind": "session", "exportedAt": MOMENT}
    return orjson.dumps({**described, "missing": [], **fields})


def a_session(**fields: Any) -> dict[str, Any]:
    return {"id": "s", "title": "Cats", "createdAt": MOMENT, "updatedAt": MOMENT, **fields}


def a_message(**fields: Any) -> dict[str, Any]:
    said = {"id": "m", "role": "user", "text": "Hello", "createdAt": MOMENT, "updatedAt": MOMENT}
    return {**said, **fields}


def an_image(**fields: Any) -> dict[str, Any]:
    described = {"id": "i", "sessionId": "s", "type": "uploaded", "createdAt": MOMENT}
    return {**described, "filename": "images/i.png", **fields}


def small(**changed: bytes | None) -> Entries:
    """A session with two messages, the first of which shows a picture. `changed` are entries by their last
    names: `manifest`, `session`, `messages`, `images`, `picture`; None leaves one out."""
    entries = {
        "manifest": manifest(),
        "session": orjson.dumps(a_session()),
        "messages": lines(a_message(imageIds=["i"]), a_message(id="n", editedOf="m", role="assistant")),
        "images": lines(an_image()),
        "picture": picture(),
        **changed,
    }
    names = {
        "manifest": "manifest.json",
        "session": "sessions/s/session.json",
        "messages": "sessions/s/messages.jsonl",
        "images": "images.jsonl",
        "picture": "images/i.png",
    }
    return {names[name]: content for name, content in entries.items() if content is not None}


# ---- what must be the same after a round trip
def content_of(entries: Entries) -> dict[str, Any]:
    """All an archive says, with other names for objects: by their age, and by their place in a session."""
    names: dict[str, str] = {}
    sessions = [record(entries, name) for name in entries if name.endswith("/session.json")]
    for number, session in enumerate(sorted(sessions, key=age)):
        names[session["id"]] = f"session {number}"
        for place, message in enumerate(records(entries, f"sessions/{session['id']}/messages.jsonl")):
            names[message["id"]] = f"message {number}.{place}"
    for number, image in enumerate(sorted(records(entries, "images.jsonl"), key=age)):
        names[image["id"]] = f"image {number}"
    pattern = re.compile("|".join(names))
    return {
        pattern.sub(lambda match: names[match[0]], name): said_by(name, content, names, pattern)
        for name, content in entries.items()
    }


def age(record: dict[str, Any]) -> str:
    return record["createdAt"]


def said_by(name: str, content: bytes, names: dict[str, str], pattern: re.Pattern[str]) -> Any:
    if name.startswith("images/"):
        return content
    text = pattern.sub(lambda match: names[match[0]], content.decode())
    if name.endswith(".json"):
        differs = {"exportedAt", "userId", "deletedAt"}
        return {key: value for key, value in orjson.loads(text).items() if key not in differs}
    return sorted(text.splitlines()) if name == "images.jsonl" else text
