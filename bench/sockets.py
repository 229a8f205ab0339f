"""What sockets cost one worker process: `python -m bench.sockets`. README.md explains the rows."""

import argparse
import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles

import django
import httpx

from bench.server import Server, running_server

USERS, DEVICES = 200, 5
ROUNDS = 10  # writes of each user
LATENCIES = 300
AT_ONCE = 16
PATIENCE = 60  # seconds
TEXT, PING, PONG = 1, 9, 10  # opcodes
AIMS = {"memory": 25.0, "frame": 20.0, "p95": 10.0}


@dataclass
class User:
    id: str
    token: str
    session_id: str


@dataclass
class Figures:
    connect: float = 0.0  # ms of CPU
    memory: float = 0.0  # KB a socket
    idle: float = 0.0  # µs of CPU a socket and second
    frames: list[float] = field(default_factory=list)  # µs of CPU a delivered frame, round by round
    redis: list[float] = field(default_factory=list)  # the same of Redis, with the writes
    latencies: list[float] = field(default_factory=list)  # ms


class Socket(asyncio.Protocol):
    """A client that opens a socket and counts the frames that come: it costs little itself."""

    def __init__(self, user: User) -> None:
        self.frames = 0
        self.is_open = asyncio.Event()
        self._user = user
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /ws/{self._user.session_id}?token={self._user.token} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n"
        )
        self.transport = transport
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.is_open.is_set():
            head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head[:20]:
                raise SystemExit(f"The server opens no socket: {head!r}")
            self._buffer = bytearray(rest)
            self.is_open.set()
        self._count()

    def _count(self) -> None:
        """Take whole frames out of the buffer, and answer pings; `presence` is not what is measured."""
        at, size = 0, len(self._buffer)
        while size - at >= 2:
            length, start = self._buffer[at + 1], at + 2
            if length >= 126:
                width = 2 if length == 126 else 8
                length, start = int.from_bytes(self._buffer[start : start + width], "big"), start + width
            if start + length > size:
                break
            self._take(self._buffer[at] & 0x0F, bytes(self._buffer[start : start + length]))
            at = start + length
        del self._buffer[:at]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._send(PONG, payload)
        elif payload.startswith(b'{"type":"ping"'):
            self._send(TEXT, b'{"type":"pong"}')
        elif opcode == TEXT and not payload.startswith(b'{"type":"presence"'):
            self.frames += 1

    def _send(self, opcode: int, payload: bytes) -> None:
        """A client's frames are masked; the mask may be anything, and 0 changes nothing."""
        self.transport.write(bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sockets", description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--devices", type=int, default=DEVICES, help="of a user (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="writes of each user (%(default)s)")
    options = parser.parse_args()
    with running_server() as server:
        figures = asyncio.run(measure(server, options.users, options.devices, options.rounds))
    print("\n".join(table(figures, options.users, options.devices)))


async def measure(server: Server, users: int, devices: int, rounds: int) -> Figures:
    configure(server)
    figures = Figures()
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE) as http:
        people = await in_parallel([register(http, number) for number in range(users)])
        async with connected(server, people[:1], 2) as (_, listener):
            figures.latencies = [await latency(http, people[0], listener) for _ in range(LATENCIES)]
        cpu, memory = server.server_seconds(), server.worker().memory_info().rss
        async with connected(server, people, devices) as sockets:
            figures.connect = (server.server_seconds() - cpu) * 1000 / len(sockets)
            await asyncio.sleep(3)  # until who is here is told
            figures.memory = (server.worker().memory_info().rss - memory) / 1024 / len(sockets)
            figures.idle = await idle_cost(server, len(sockets))
            for _ in range(rounds):
                await deliver(server, people, sockets, figures)
    return figures


def configure(server: Server) -> None:
    """Have services of this process write to the server's Redis: that costs the server nothing."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "nanobanana.settings", "REDIS_URL": server.redis_url}
    django.setup()


async def register(http: httpx.AsyncClient, number: int) -> User:
    body = {"email": f"bench{number}@example.com", "username": "bench", "password": "correct horse"}
    registered = (await http.post("/api/auth/register", json=body)).raise_for_status().json()
    headers = {"Authorization": f"Bearer {registered['token']}"}
    session = (await http.post("/api/sessions", json={"title": "Bench"}, headers=headers)).json()["session"]
    return User(registered["user"]["id"], registered["token"], session["id"])


@asynccontextmanager
async def connected(server: Server, users: list[User], devices: int) -> AsyncIterator[list[Socket]]:
    sockets = await in_parallel([open_socket(server, user) for user in users for _ in range(devices)])
    yield sockets
    for socket in sockets:
        socket.transport.close()


async def open_socket(server: Server, user: User) -> Socket:
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(user), "127.0.0.1", server.port)
    await asyncio.wait_for(socket.is_open.wait(), PATIENCE)
    await frames_at(socket, 1)  # `connected`
    return socket


async def frames_at(socket: Socket, count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while socket.frames < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"A socket got {socket.frames} frames of {count}.")
        await asyncio.sleep(0.0005)


async def in_parallel(coroutines: list) -> list:
    """The results of all, AT_ONCE at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(coroutine):
        async with turns:
            return await coroutine

    return await asyncio.gather(*map(in_turn, coroutines))


async def latency(http: httpx.AsyncClient, user: User, listener: Socket) -> float:
    """Milliseconds from sending a REST write until the other device has its first frame."""
    before, path = listener.frames, f"/api/sessions/{user.session_id}/messages"
    began = time.perf_counter()
    headers = {"Authorization": f"Bearer {user.token}"}
    writing = asyncio.create_task(http.post(path, json={"role": "user", "text": "Hello"}, headers=headers))
    await frames_at(listener, before + 1)
    took = (time.perf_counter() - began) * 1000
    (await writing).raise_for_status()
    await frames_at(listener, before + 2)
    return took


async def idle_cost(server: Server, sockets: int, seconds: float = 20) -> float:
    before = server.server_seconds()
    await asyncio.sleep(seconds)
    return (server.server_seconds() - before) * 1e6 / seconds / sockets


async def deliver(server: Server, users: list[User], sockets: list[Socket], figures: Figures) -> None:
    """One message in each user's session: two events, so two frames for each of the user's sockets."""
    expected = [socket.frames + 2 for socket in sockets]
    began, python, redis = time.perf_counter(), server.server_seconds(), server.redis_seconds()
    await in_parallel([write(user) for user in users])
    for socket, count in zip(sockets, expected, strict=True):
        await frames_at(socket, count)
    await asyncio.sleep(0.1)
    frames = 2 * len(sockets)
    idle = figures.idle * len(sockets) * (time.perf_counter() - began)  # what they cost without frames
    figures.frames.append(((server.server_seconds() - python) * 1e6 - idle) / frames)
    figures.redis.append((server.redis_seconds() - redis) * 1e6 / frames)


async def write(user: User) -> None:
    from accounts.models import User as Account
    from chats.services.messages import create_message

    await create_message(
        user=Account(user.id, user.id),
        session_id=user.session_id,
        role="user",
        text="Put the cat on the moon.",
    )


def table(figures: Figures, users: int, devices: int) -> list[str]:
    percentiles = quantiles(figures.latencies, n=100)
    p50, p95 = percentiles[49], percentiles[94]
    frame, redis = sum(figures.frames) / len(figures.frames), sum(figures.redis) / len(figures.redis)
    return [
        f"{users} users with {devices} devices each, {len(figures.frames)} messages in each account",
        row("CPU per connect", f"{figures.connect:.2f} ms"),
        row("memory per idle socket", f"{figures.memory:.1f} KB", figures.memory, AIMS["memory"]),
        row("CPU per idle socket", f"{figures.idle:.1f} µs/s"),
        row("CPU per delivered frame", f"{frame:.1f} µs", frame, AIMS["frame"]),
        row("  of the best round", f"{min(figures.frames):.1f} µs"),
        row("  of Redis, with the writes", f"{redis:.1f} µs"),
        row("from a write to the frame, p50", f"{p50:.1f} ms"),
        row("from a write to the frame, p95", f"{p95:.1f} ms", p95, AIMS["p95"]),
    ]


def row(name: str, value: str, measured: float = 0.0, aim: float | None = None) -> str:
    verdict = "" if aim is None else f"   aim {aim:.0f}{'' if measured <= aim else '  ✗'}"
    return f"{name:<32}{value:>12}{verdict}"


if __name__ == "__main__":
    main()
