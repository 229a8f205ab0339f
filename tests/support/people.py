"""The people of the tests: accounts made through the API, each with two signed-in devices."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import orjson
from PIL import Image as Picture
from websockets.asyncio.client import ClientConnection, connect

from nanobanana.redisdb.event_log import heads
from tests.support.contract import checked_client
from tests.support.web_server import WebServer

PASSWORD = "correct horse battery"
PATIENCE = 5  # seconds
PHOTOS = Path(__file__).parent.parent / "data" / "photos"
_numbers = itertools.count(1)
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpx.AsyncClient]] = WeakKeyDictionary()


class Device:
    """A signed-in device: REST calls with its token, and a socket once connected."""

    def __init__(self, server: WebServer, name: str, user_id: str, token: str, refresh_token: str) -> None:
        self.server, self.name, self.user_id = server, name, user_id
        self.token, self.refresh_token = token, refresh_token
        self.http = client_of(server)
        self.socket: ClientConnection | None = None

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.request("POST", path, json=body, **options)

    async def put(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.request("PUT", path, json=body, **options)

    async def delete(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.request("DELETE", path, json=body, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        if options.get("json", ...) is None:
            del options["json"]
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **options)

    async def upload(
        self, session_id: str, content: bytes, type: str = "uploaded", **options: Any
    ) -> httpx.Response:
        files = {"image": ("picture", content)}
        data = {"sessionId": session_id, "type": type}
        return await self.request("POST", "/api/images/upload", files=files, data=data, **options)

    async def listen(self, session_id: str, **query: str) -> dict[str, Any]:
        """Open the socket of a session; the answer is the `connected` frame."""
        parameters = httpx.QueryParams({"userId": self.user_id, "token": self.token, **query})
        address = f"{self.server.websocket_url}/ws/{session_id}?{parameters}"
        self.socket = await connect(address, open_timeout=PATIENCE, max_queue=None)
        return await self.next_frame()

    async def next_frame(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The next frame that tells of more than who is here, which comes when a test is slow enough."""
        while (frame := await self.any_frame(patience))["type"] == "presence":
            pass
        return frame

    async def any_frame(self, patience: float = PATIENCE) -> dict[str, Any]:
        assert self.socket, f"{self.name} is not listening."
        return orjson.loads(await asyncio.wait_for(self.socket.recv(), patience))

    async def heard(self) -> list[dict[str, Any]]:
        """All frames that came, up to now: those before the answer to a ping of this device."""
        assert self.socket, f"{self.name} is not listening."
        await self.socket.send('{"type":"ping"}')
        frames: list[dict[str, Any]] = []
        while (frame := await self.next_frame())["type"] != "pong":
            frames.append(frame)
        return frames

    async def heard_types(self, *, at_least: int = 0) -> list[str]:
        """The types of all data frames that came; waits until there are `at_least` so many."""
        types = [frame["type"] for frame in await self.heard()]
        while len(types) < at_least:
            types.append((await self.next_frame())["type"])
        return types

    async def close(self) -> None:
        if self.socket:
            await self.socket.close()


class Person:
    """An account with its devices; `person.get` and the like speak from the laptop."""

    def __init__(self, email: str, user: dict[str, Any], laptop: Device, phone: Device) -> None:
        self.email, self.password, self.user, self.id = email, PASSWORD, user, user["id"]
        self.laptop, self.phone = laptop, phone
        self.things: dict[str, str] = {}  # what a test has to find again
        self.get, self.post, self.put, self.delete = laptop.get, laptop.post, laptop.put, laptop.delete
        self.upload = laptop.upload

    async def position(self) -> str:
        """Where the log of the account stands."""
        [head] = await heads([self.id])
        return str(head)

    async def make_session(self, title: str = "") -> dict[str, Any]:
        return (await self.post("/api/sessions", {"title": title})).json()["session"]

    async def make_message(self, session_id: str, text: str = "Hello", **fields: Any) -> dict[str, Any]:
        body = {"role": "user", "text": text, **fields}
        answer = await self.post(f"/api/sessions/{session_id}/messages", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["messageData"]

    async def make_image(
        self, session_id: str, content: bytes | None = None, **options: Any
    ) -> dict[str, Any]:
        answer = await self.upload(session_id, content or picture(), **options)
        assert answer.status_code == 201, answer.text
        return answer.json()["image"]


def client_of(server: WebServer) -> httpx.AsyncClient:
    """The one that all devices of an event loop share: to make one takes 3 ms, and each connects anew."""
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if server.url not in clients:
        clients[server.url] = checked_client(server.url)
    return clients[server.url]


@asynccontextmanager
async def make_person(server: WebServer, name: str) -> AsyncIterator[Person]:
    email = f"{name.lower()}{next(_numbers)}@example.com"
    http = client_of(server)
    body = {"email": email, "username": name, "password": PASSWORD}
    registered = (await http.post("/api/auth/register", json=body)).json()
    signed_in = (await http.post("/api/auth/login", json=body)).json()
    user = registered["user"]
    laptop, phone = (
        Device(server, device, user["id"], tokens["token"], tokens["refreshToken"])
        for device, tokens in (("laptop", registered), ("phone", signed_in))
    )
    yield Person(email, user, laptop, phone)
    await laptop.close()
    await phone.close()


def picture(width: int = 64, height: int = 48, colour: str = "orange", format: str = "PNG") -> bytes:
    """A small picture, made on the spot."""
    file = io.BytesIO()
    Picture.new("RGB", (width, height), colour).save(file, format)
    return file.getvalue()


def photo(name: str) -> bytes:
    """A real photograph of tests/data/photos."""
    return (PHOTOS / name).read_bytes()
