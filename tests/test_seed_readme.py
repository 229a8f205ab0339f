"""Every request of the document the project was asked for with, sent as it is written there."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.people import picture
from tests.support.web_server import WebServer

REGISTER = """
POST /api/auth/register
Content-Type: application/json

{
  "email": "user@example.com",
  "username": "username",
  "password": "password123"
}
"""
LOG_IN = """
POST /api/auth/login
Content-Type: application/json

{
  "email": "user@example.com",
  "password": "password123"
}
"""
GET_USER = """
GET /api/auth/me
Authorization: Bearer <token>
"""
LIST_SESSIONS = """
GET /api/sessions?limit=20&offset=0
Authorization: Bearer <token>
"""
CREATE_SESSION = """
POST /api/sessions
Authorization: Bearer <token>
Content-Type: application/json

{
  "title": "New Chat"
}
"""
GET_SESSION = """
GET /api/sessions/:sessionId
Authorization: Bearer <token>
"""
LIST_MESSAGES = """
GET /api/sessions/:sessionId/messages?limit=50&offset=0
Authorization: Bearer <token>
"""
CREATE_MESSAGE = """
POST /api/sessions/:sessionId/messages
Authorization: Bearer <token>
Content-Type: application/json

{
  "role": "user",
  "text": "Hello, world!",
  "imageIds": ["image_id_1", "image_id_2"]
}
"""
UPDATE_MESSAGE = """
PUT /api/messages/:messageId
Authorization: Bearer <token>
Content-Type: application/json

{
  "text": "Updated message"
}
"""
DELETE_MESSAGE = """
DELETE /api/messages/:messageId
Authorization: Bearer <token>
"""
UPLOAD_IMAGE = """
POST /api/images/upload
Authorization: Bearer <token>
Content-Type: multipart/form-data

image: <file>
sessionId: <session_id>
type: uploaded
"""
UPLOAD_IMAGES = """
POST /api/images/upload/batch
Authorization: Bearer <token>
Content-Type: multipart/form-data

images: <file1>, <file2>, ...
sessionId: <session_id>
type: uploaded
"""
GET_IMAGE = """
GET /api/images/:imageId
Authorization: Bearer <token>
"""
LIST_IMAGES = """
GET /api/images/session/:sessionId?type=uploaded&limit=100&offset=0
Authorization: Bearer <token>
"""
HEALTH = """
GET /health
"""
SOCKET = "/ws/:sessionId?userId=:userId&token=:token"
JOIN_SESSION = """
{
  "type": "join_session",
  "payload": {
    "sessionId": "session_id"
  }
}
"""
TYPING = """
{
  "type": "typing",
  "payload": {
    "sessionId": "session_id",
    "isTyping": true
  }
}
"""
# The objects, as examples of what stands in each field.
CONNECTED = {
    "type": "connected",
    "sessionId": "session_id",
    "userId": "user_id",
    "timestamp": "2025-01-27T10:00:00.000Z",
}
USER = {
    "id": "user_id",
    "email": "user@example.com",
    "username": "username",
    "avatar": "avatar_url",
    "createdAt": "2025-01-27T10:00:00.000Z",
    "updatedAt": "2025-01-27T10:00:00.000Z",
    "lastLoginAt": "2025-01-27T10:00:00.000Z",
    "isActive": True,
}
SESSION = {
    "id": "session_id",
    "userId": "user_id",
    "title": "Chat Title",
    "createdAt": "2025-01-27T10:00:00.000Z",
    "updatedAt": "2025-01-27T10:00:00.000Z",
    "messageCount": 10,
    "deletedAt": None,
}
MESSAGE = {
    "id": "message_id",
    "sessionId": "session_id",
    "role": "user",
    "text": "Message content",
    "params": {},
    "imageIds": ["image_id_1"],
    "createdAt": "2025-01-27T10:00:00.000Z",
    "updatedAt": "2025-01-27T10:00:00.000Z",
    "editedOf": None,
}
IMAGE = {
    "id": "image_id",
    "sessionId": "session_id",
    "userId": "user_id",
    "type": "uploaded",
    "path": "https://bucket.s3.amazonaws.com/path/to/image.jpg",
    "thumbPath": "https://bucket.s3.amazonaws.com/path/to/thumb.jpg",
    "mime": "image/jpeg",
    "width": 1920,
    "height": 1080,
    "size": 1024000,
    "refCount": 1,
    "createdAt": "2025-01-27T10:00:00.000Z",
    "updatedAt": "2025-01-27T10:00:00.000Z",
}
ADDED = ("displayPath", "variants", "blurhash", "dominantColor", "sha256", "status", "reason")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ADDRESS = re.compile(r"https?://\S+")


class Reader:
    """Somebody who reads the document, replaces the names in it by what came back, and sends the rest."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self.http = httpx.AsyncClient(base_url=server.url, timeout=20, verify=False)
        self.names: dict[str, str] = {}

    async def send(self, request: str, **files: Any) -> Any:
        head, _, body = self.filled_in(request).strip().partition("\n\n")
        (method, path), *header_lines = [line.split(" ", 1) for line in head.split("\n")]
        headers = {name.rstrip(":"): value for name, value in header_lines}
        options: dict[str, Any] = {"content": body}
        if headers.get("Content-Type") == "multipart/form-data":
            del headers["Content-Type"]  # the client adds the boundary
            fields = dict(line.split(": ") for line in body.split("\n") if "<" not in line)
            options = {"data": fields, "files": files["files"]}
        answer = await self.http.request(method, path, headers=headers, **options)
        assert answer.is_success, (request, answer.text)
        return answer.json()

    def filled_in(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    async def connect(self) -> ClientConnection:
        return await connect(self.server.websocket_url + self.filled_in(SOCKET))


@pytest.fixture
async def reader(server: WebServer) -> Any:
    """Registered and signed in as the document has it, with a session and two pictures."""
    reader = Reader(server)
    registered = await reader.send(REGISTER)
    signed_in = await reader.send(LOG_IN)
    reader.names |= {"<token>": signed_in["token"], ":token": signed_in["token"]}
    reader.names |= {":userId": registered["user"]["id"]}
    session_id = (await reader.send(CREATE_SESSION))["session"]["id"]
    reader.names |= {":sessionId": session_id, "<session_id>": session_id, '"session_id"': f'"{session_id}"'}
    files = [("images", ("one.png", picture())), ("images", ("two.jpg", picture(format="JPEG")))]
    uploaded = (await reader.send(UPLOAD_IMAGES, files=files))["results"]["successful"]
    reader.names |= {"image_id_1": uploaded[0]["id"], "image_id_2": uploaded[1]["id"]}
    reader.names |= {":imageId": uploaded[0]["id"]}
    reader.names |= {":messageId": (await reader.send(CREATE_MESSAGE))["messageData"]["id"]}
    yield reader
    account = {
        "headers": {"Authorization": f"Bearer {signed_in['token']}"},
        "json": {"password": "password123"},
    }
    assert (await reader.http.request("DELETE", "/api/auth/me", **account)).is_success
    await reader.http.aclose()


def assert_like(found: Mapping[str, Any], example: Mapping[str, Any], *more: str) -> None:
    """The object has exactly the fields of the example, each with a value of its kind."""
    assert set(found) == {*example, *more}
    for name, value in example.items():
        assert_of_kind(name, found[name], value)


def assert_of_kind(name: str, found: Any, example: Any) -> None:
    if name in {"avatar", "deletedAt", "editedOf"}:
        assert found is None, name
    elif isinstance(example, str) and MOMENT.fullmatch(example):
        assert MOMENT.fullmatch(found), name
    elif isinstance(example, str) and ADDRESS.fullmatch(example):
        assert ADDRESS.fullmatch(found), name
    else:
        assert type(found) is type(example), name


async def test_a_user_registers_signs_in_and_is_shown(reader: Reader) -> None:
    signed_in, me = await reader.send(LOG_IN), await reader.send(GET_USER)
    assert_like(signed_in["user"], USER, "emailVerified")
    assert me == {"user": signed_in["user"]}
    assert (me["user"]["email"], me["user"]["username"]) == ("user@example.com", "username")


async def test_sessions_are_made_listed_and_shown(reader: Reader) -> None:
    made = await reader.send(CREATE_SESSION)
    assert_like(made["session"], SESSION, "pinned", "archived", "tags")
    assert made["session"]["title"] == "New Chat"
    listed = await reader.send(LIST_SESSIONS)
    assert listed["sessions"][0] == made["session"]
    assert [session["id"] for session in listed["sessions"]] == [
        made["session"]["id"],
        reader.names[":sessionId"],
    ]
    assert {"limit": 20, "offset": 0}.items() <= listed["pagination"].items()
    shown = await reader.send(GET_SESSION)
    assert shown["session"] == listed["sessions"][1]
    assert shown["session"]["messageCount"] == 1


async def test_messages_are_made_listed_changed_and_deleted(reader: Reader) -> None:
    made = (await reader.send(CREATE_MESSAGE))["messageData"]
    assert_like(made, MESSAGE, "images", "revision")
    assert (made["role"], made["text"]) == ("user", "Hello, world!")
    assert made["imageIds"] == [reader.names["image_id_1"], reader.names["image_id_2"]]
    assert [image["id"] for image in made["images"]] == made["imageIds"]
    assert_like(made["images"][0], IMAGE, *ADDED)
    listed = await reader.send(LIST_MESSAGES)
    assert listed["messages"][1] == made
    assert {"limit": 50, "offset": 0}.items() <= listed["pagination"].items()
    changed = (await reader.send(UPDATE_MESSAGE))["messageData"]
    assert_like(changed, MESSAGE, "images", "revision")
    assert changed["text"] == "Updated message"
    assert changed["id"] == listed["messages"][0]["id"]
    await reader.send(DELETE_MESSAGE)
    assert [message["id"] for message in (await reader.send(LIST_MESSAGES))["messages"]] == [made["id"]]


async def test_images_are_uploaded_shown_and_listed(reader: Reader) -> None:
    uploaded = await reader.send(UPLOAD_IMAGE, files={"image": ("cat.png", picture(64, 48))})
    assert_like(uploaded["image"], IMAGE, *ADDED)
    assert (uploaded["image"]["width"], uploaded["image"]["height"]) == (64, 48)
    assert uploaded["image"]["type"] == "uploaded"
    shown = await reader.send(GET_IMAGE)
    assert_like(shown["image"], IMAGE, *ADDED)
    assert shown["image"]["refCount"] == 1
    listed = await reader.send(LIST_IMAGES)
    newest, *others = [image["id"] for image in listed["images"]]
    assert newest == uploaded["image"]["id"]
    assert set(others) == {reader.names["image_id_1"], reader.names["image_id_2"]}
    assert {"limit": 100, "offset": 0, "total": 3}.items() <= listed["pagination"].items()


async def test_a_batch_says_what_became_of_each_file(reader: Reader) -> None:
    files = [("images", ("cat.png", picture())), ("images", ("notes.txt", b"no picture"))]
    results = (await reader.send(UPLOAD_IMAGES, files=files))["results"]
    assert results["total"] == 2
    assert_like(results["successful"][0], IMAGE, *ADDED)
    [failed] = results["failed"]
    assert failed.keys() == {"filename", "error", "message"}
    assert failed["filename"] == "notes.txt"


async def test_a_socket_connects_joins_and_types(reader: Reader) -> None:
    laptop, phone = await reader.connect(), await reader.connect()
    for device in (laptop, phone):
        frame = json.loads(await device.recv())
        assert_like({name: frame[name] for name in CONNECTED}, CONNECTED)
        assert (frame["type"], frame["sessionId"]) == ("connected", reader.names[":sessionId"])
        assert frame["userId"] == reader.names[":userId"]
    await laptop.send(reader.filled_in(JOIN_SESSION))
    joined = json.loads(await laptop.recv())
    assert (joined["type"], joined["sessionId"]) == ("joined_session", reader.names[":sessionId"])
    await laptop.send(reader.filled_in(TYPING))
    heard = json.loads(await phone.recv())
    assert (heard["type"], heard["isTyping"]) == ("user_typing", True)
    for device in (laptop, phone):
        await device.close()


async def test_the_server_says_how_it_is(reader: Reader) -> None:
    assert (await reader.send(HEALTH))["status"] == "ok"
