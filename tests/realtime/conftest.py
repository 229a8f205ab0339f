"""Sockets of all kinds: of a second process, opened by hand, and as the hub alone sees them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import django
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.people import PATIENCE, Person
from tests.support.people import Device as Client
from tests.support.redis_server import RunningRedis
from tests.support.web_server import WebServer, serve_in_another_process

django.setup()

from accounts.services.access import authenticate  # noqa: E402
from accounts.tokens import AccessToken, read_access_token  # noqa: E402
from nanobanana.redisdb.client import get_client  # noqa: E402
from nanobanana.redisdb.event_log import Cursor  # noqa: E402
from nanobanana.redisdb.keys import events_key, log_key  # noqa: E402
from realtime.peer import Peer  # noqa: E402

Kill = Callable[[], Awaitable[None]]


@pytest.fixture(scope="session")
async def other_server(server: WebServer) -> AsyncIterator[WebServer]:
    """A second process that serves from the same Redis, as every deployment has."""
    async with serve_in_another_process() as other:
        yield other


@pytest.fixture
async def tablet(alice: Person, other_server: WebServer) -> AsyncIterator[Client]:
    """A third device of Alice's, connected to the other process."""
    signed_in = await alice.post("/api/auth/login", {"email": alice.email, "password": alice.password})
    tokens = signed_in.json()
    device = Client(other_server, "tablet", alice.id, tokens["token"], tokens["refreshToken"])
    yield device
    await device.close()


@pytest.fixture
async def session_id(alice: Person) -> str:
    return (await alice.make_session())["id"]


@asynccontextmanager
async def opened(client: Client, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A socket to any address, without what `listen` would add."""
    async with connect(client.server.websocket_url + path, open_timeout=PATIENCE, **options) as connection:
        yield connection


async def frames_and_close_code(connection: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """All that comes until the server closes, and its close code; None for a cut connection.

    Who is here is left out: it comes when a test is slow enough.
    """
    frames: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                frames.append(orjson.loads(await connection.recv()))
    except ConnectionClosed as closed:
        frames = [frame for frame in frames if frame["type"] != "presence"]
        return frames, closed.rcvd.code if closed.rcvd else None


async def close_code(client: Client) -> int | None:
    """How the server closes the socket of a listening device."""
    assert client.socket
    return (await frames_and_close_code(client.socket))[1]


async def say(client: Client, type: str, **payload: Any) -> None:
    assert client.socket
    await client.socket.send(orjson.dumps({"type": type, "payload": payload}).decode())


def token_of(client: Client, *, seconds: float) -> AccessToken:
    """An access token of this device that is good for so long."""
    claims = read_access_token(client.token)
    token = AccessToken()
    token["userId"], token["deviceId"] = claims.user_id, claims.device_id
    token.set_exp(lifetime=timedelta(seconds=seconds))
    return token


@pytest.fixture
def kill_subscriptions(redis_server: RunningRedis) -> Kill:
    """Cut every Pub/Sub connection, as a restarted proxy would."""

    async def kill() -> None:
        await get_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    return kill


class Wire:
    """Where a server would write a socket's frames to; `block` makes it a peer that reads nothing."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.has_more = asyncio.Event()
        self.is_open = asyncio.Event()
        self.is_open.set()

    def block(self) -> None:
        self.is_open.clear()

    async def __call__(self, message: dict[str, Any]) -> None:
        await self.is_open.wait()
        self.sent.append(message)
        self.has_more.set()

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [orjson.loads(message["text"]) for message in self.sent if "text" in message]

    @property
    def close_code(self) -> int | None:
        return next((message["code"] for message in self.sent if message["type"] == "websocket.close"), None)

    async def has(self, count: int) -> list[dict[str, Any]]:
        """The frames, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self.frames) < count:
                self.has_more.clear()
                await self.has_more.wait()
        return self.frames


async def make_peer(client: Client, session_id: str, wire: Wire) -> Peer:
    """A device as the hub knows it, without a network in between."""
    return Peer(await authenticate(client.token), [session_id], wire)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so in Redis or in the hub, which tell nobody."""
    async with asyncio.timeout(PATIENCE):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def append_silently(user_id: str, type: str, *parts: str | bytes) -> Cursor:
    """An event in the log of which no bell tells; `parts` are its objects as the commit script has them."""
    redis = get_client()
    epoch = await redis.hget(log_key(user_id), "epoch")
    offset = await redis.hincrby(log_key(user_id), "offset", 1)
    entry = ["type", type, "audience", "", "ids", '{"sessionId":"S"}', "at", "1700000000000", *parts]
    await redis.execute_command("XADD", events_key(user_id), f"{offset}-0", *entry)
    return Cursor(epoch, offset)
