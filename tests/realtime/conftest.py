"""Sockets of all kinds: of a second process, opened by hand, and as the hub alone sees them."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import django
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.people import PATIENCE, Person
from tests.support.people import Device as Client
from tests.support.redis_server import RunningRedis
from tests.support.web_server import WebServer

django.setup()


@pytest.fixture(scope="session")
async def other_server(server: WebServer) -> AsyncIterator[WebServer]:
    """A second process that serves from the same Redis, as every deployment has."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nanobanana.worker", "nanobanana.asgi:application"),
        *(str(listener.fileno()), str(writer), str(os.getpid())),
        pass_fds=(listener.fileno(), writer),
    )
    os.close(writer)
    await asyncio.to_thread(os.read, ready, 1)  # the end of the file says that it serves
    os.close(ready)
    yield WebServer(listener.getsockname()[1])
    process.terminate()
    await process.wait()
    listener.close()


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
    """Everything that comes until the server closes, and its close code; None for a cut connection."""
    frames: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                frames.append(orjson.loads(await connection.recv()))
    except ConnectionClosed as closed:
        return frames, closed.rcvd.code if closed.rcvd else None


async def close_code(client: Client) -> int | None:
    """How the server closes the socket of a listening device."""
    assert client.socket
    return (await frames_and_close_code(client.socket))[1]


async def say(client: Client, type: str, **payload: Any) -> None:
    assert client.socket
    await client.socket.send(orjson.dumps({"type": type, "payload": payload}).decode())


@pytest.fixture
def kill_subscriptions(redis_server: RunningRedis) -> Any:
    """Cut every Pub/Sub connection, as a restarted proxy would."""
    from nanobanana.redisdb.client import get_client

    async def kill() -> None:
        await get_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    return kill
