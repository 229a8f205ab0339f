"""The server in trouble: Redis gone, silent, slow, full or a replica; the storage gone, stalled or full.

A small matrix in the suite, through the proxy of the tests; `make stress` prints the whole one.
"""

import asyncio
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.redisdb.support import everything_stored, speaking_to
from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.oss_server import OssServer, serve_oss
from tests.support.outages import full, replica
from tests.support.people import Person, make_person, picture
from tests.support.redis_server import RunningRedis
from tests.support.server_process import served
from tests.support.storages import aliyun_settings
from tests.support.threads import in_a_thread
from tests.support.web_server import WebServer

SECONDS_TO_ANSWER = 3.0
SECONDS_TO_RECOVER = 5.0
PATIENCE = 30  # seconds; whether an answer was in time is looked at afterwards
SLACK = 2.0  # seconds that a loaded machine may add
ROUNDS = 3
AT_ONCE = 4
DISK = 24  # megabytes

Call = Callable[[Person], Awaitable[tuple[int, str]]]  # status or close code, and Retry-After
Fault = Callable[[], AbstractAsyncContextManager[None]]


# ---- kinds of calls
def asking(method: str, path: str, **options: Any) -> Call:
    async def ask(person: Person) -> tuple[int, str]:
        answer = await person.laptop.request(
            method, path.format(**person.things), timeout=PATIENCE, **options
        )
        return answer.status_code, answer.headers.get("Retry-After", "")

    return ask


async def upload(person: Person) -> tuple[int, str]:
    colour = f"#{time.monotonic_ns() % 0xFFFFFF:06x}"  # another picture each time
    answer = await person.upload(person.things["session"], picture(colour=colour), timeout=PATIENCE)
    return answer.status_code, answer.headers.get("Retry-After", "")


async def sign_in(person: Person) -> tuple[int, str]:
    body = {"email": person.email, "password": person.password}
    answer = await person.laptop.http.post("/api/auth/login", json=body, timeout=PATIENCE)
    return answer.status_code, answer.headers.get("Retry-After", "")


async def open_socket(person: Person) -> tuple[int, str]:
    """101 when it is connected, else the code it is closed with."""
    query = httpx.QueryParams({"userId": person.id, "token": person.laptop.token})
    address = f"{person.laptop.server.websocket_url}/ws/{person.things['session']}?{query}"
    try:
        async with connect(address, open_timeout=PATIENCE) as socket:
            assert orjson.loads(await socket.recv())["type"] == "connected"
            return 101, ""
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006, ""


CALLS: dict[str, Call] = {
    "read": asking("GET", "/api/auth/me"),
    "list": asking("GET", "/api/sessions/{session}/messages"),
    "write": asking("POST", "/api/sessions", json={"title": "A title"}),
    "long write": asking("POST", "/api/sessions/{session}/duplicate", json={"title": "A copy"}),
    "keyed write": asking("POST", "/api/sessions", json={"title": "A"}, headers={"Idempotency-Key": "one"}),
    "upload": upload,
    "picture": asking("GET", "{picture}"),
    "sign in": sign_in,
    "poll": asking("GET", "/api/sync?wait=0&since={cursor}"),
    "socket": open_socket,
    "health": asking("GET", "/health"),
    "ready": asking("GET", "/health/ready"),
}
RIGHT = {101, 200, 201, 302}
UNSERVED = {503, 507, 1013}


@dataclass
class Measured:
    """What calls of one kind were answered, and how long the longest took."""

    statuses: set[int] = field(default_factory=set)
    longest: float = 0.0
    without_retry_after: int = 0

    def add(self, status: int, retry_after: str, seconds: float) -> None:
        self.statuses.add(status)
        self.longest = max(self.longest, seconds)
        self.without_retry_after += status in {503, 507} and not retry_after

    @property
    def is_late(self) -> bool:
        """Whether somebody waited too long to be told that it cannot be served."""
        return bool(self.statuses & UNSERVED) and self.longest > SECONDS_TO_ANSWER + SLACK

    def __str__(self) -> str:
        return f"{'/'.join(map(str, sorted(self.statuses)))} {self.longest:.1f} s"


async def measure(person: Person, names: list[str], at_once: int = 1) -> dict[str, Measured]:
    measured: dict[str, Measured] = defaultdict(Measured)

    async def one(name: str) -> None:
        begin = time.monotonic()
        status, retry_after = await CALLS[name](person)
        measured[name].add(status, retry_after, time.monotonic() - begin)

    await asyncio.gather(*[one(name) for name in names for _ in range(at_once)])
    return measured


async def with_things(person: Person) -> Person:
    """Somebody with a session, a message and a picture."""
    session = await person.make_session()
    image = await person.make_image(session["id"])
    await person.make_message(session["id"], imageIds=[image["id"]])
    path = "/" + image["path"].partition("://")[2].partition("/")[2]
    person.things = {"session": session["id"], "picture": path, "cursor": await person.position()}
    return person


# ---- in the suite
@pytest.fixture
async def proxy(redis_server: RunningRedis, tmp_path: Path) -> AsyncIterator[LossyProxy]:
    """Between the server of this process and its Redis, for the time of a test."""
    async with lossy_proxy(tmp_path, redis_server.socket_path) as proxy, speaking_to(proxy.url):
        yield proxy


@pytest.mark.parametrize("how", ["slow", "silent"])
async def test_what_is_answered_too_late_is_given_up_in_time(
    alice: Person, proxy: LossyProxy, how: str
) -> None:
    """However many calls to Redis a request takes: two seconds each are too long for two."""
    person = await with_things(alice)
    proxy.seconds_late, proxy.is_silent = (2.0, False) if how == "slow" else (0.0, True)
    names = [name for name in CALLS if name not in {"picture", "long write"}]
    measured = await measure(person, names)
    proxy.heal()
    for name, found in measured.items():
        assert found.statuses <= RIGHT | UNSERVED, name
        assert not found.is_late, name
        assert not found.without_retry_after, name
    assert measured["upload"].statuses == measured["sign in"].statuses == {503}
    assert proxy.connections < 10
    await until_well(person, list(CALLS))


async def until_well(person: Person, names: list[str]) -> float:
    """Seconds until every kind of call is served again."""
    begin = time.monotonic()
    while True:
        measured = await measure(person, names)
        if all(found.statuses <= RIGHT for found in measured.values()):
            return time.monotonic() - begin
        assert time.monotonic() - begin < PATIENCE, {name: str(found) for name, found in measured.items()}
        await asyncio.sleep(0.5)  # each round signs in, and a user has fifty devices


# ---- the whole matrix
@dataclass
class Stand:
    """A server of its own processes, through a proxy to its Redis, on a small disk or a cloud."""

    server: WebServer
    proxy: LossyProxy
    disk: Path
    oss: OssServer

    def processes(self) -> list[psutil.Process]:
        return [
            each
            for each in psutil.Process().children(recursive=True)
            if "nanobanana.worker" in each.cmdline()
        ]

    def used(self) -> tuple[int, int, int]:
        """Threads and open files of the server, connections to Redis."""
        processes = self.processes()
        threads = sum(process.num_threads() for process in processes)
        return threads, sum(process.num_fds() for process in processes), self.proxy.connections


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of a few megabytes; the test is skipped where one may not be mounted."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"No disk can be mounted here, so none can be full: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@asynccontextmanager
async def filled(directory: Path) -> AsyncIterator[None]:
    """Inside, the disk of the directory has no byte left."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            yield
    ballast.unlink()


@pytest.fixture(params=["local", "aliyun"])
async def stand(
    request: pytest.FixtureRequest, redis_server: RunningRedis, tmp_path: Path, server: WebServer
) -> AsyncIterator[Stand]:
    with small_disk(tmp_path / "disk") as disk, serve_oss() as oss:
        variables = {"VAR_DIR": str(disk / "var"), "STORAGE_TYPE": request.param, **aliyun_settings(oss)}
        async with (
            lossy_proxy(tmp_path, redis_server.socket_path) as proxy,
            in_a_thread(served(disk / "logs", REDIS_URL=proxy.url, **variables)) as running,
        ):
            yield Stand(running, proxy, disk, oss)


def faults_of(stand: Stand, storage: str) -> dict[str, Fault]:
    @asynccontextmanager
    async def proxied(**state: Any) -> AsyncIterator[None]:
        for name, value in state.items():
            setattr(stand.proxy, name, value)
        yield
        stand.proxy.heal()

    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        stand.proxy.go_away()
        yield
        stand.proxy.heal()

    @asynccontextmanager
    async def cloud(how: str) -> AsyncIterator[None]:
        with stand.oss.failing(how):
            yield

    faults: dict[str, Fault] = {
        "Redis gone": away,
        "Redis silent": lambda: proxied(is_silent=True),
        "Redis slow, 2 s": lambda: proxied(seconds_late=2.0),
        "Redis a replica": replica,
        "Redis full": full,
    }
    if storage == "local":
        return {**faults, "disk full": lambda: filled(stand.disk)}
    return {
        "bucket stalls": lambda: cloud("stall"),
        "bucket fails": lambda: cloud("500"),
        "bucket hangs up": lambda: cloud("reset"),
    }


@pytest.mark.long
async def test_the_matrix(
    stand: Stand, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    failures: list[str] = []
    storage = request.node.callspec.params["stand"]
    for name, fault in faults_of(stand, storage).items():
        async with make_person(stand.server, "Fay") as fay:
            found = await endure(stand, await with_things(fay), name, fault)
        with capsys.disabled():
            print("\n".join(found.rows))  # noqa: T201  # the table is what one wants to see
        failures += found.failures
    assert failures == []


@pytest.mark.long
async def test_the_disk_of_the_embedded_redis_is_full(
    server: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends rather than lose what it cannot write, and is started until there is room again."""
    variables = {"REDIS_URL": "", "PUBLIC_BASE_URL": ""}
    with small_disk(tmp_path / "disk") as disk:
        running = in_a_thread(served(tmp_path / "logs", VAR_DIR=str(disk), **variables))
        async with running as other, make_person(other, "Fay") as fay:
            person = await with_things(fay)
            names = [name for name in CALLS if name not in {"poll", "picture"}]
            title = (await person.post("/api/sessions", {"title": "Kept"})).json()["session"]["id"]
            async with filled(disk):
                for _ in range(10):
                    measured = await measure(person, names)
                    await asyncio.sleep(1)
            recovered = await until_well(person, ["read", "write", "upload", "sign in"])
            assert (await person.get(f"/api/sessions/{title}")).status_code == 200
    with capsys.disabled():
        print(f"\nDisk of the embedded Redis full: well again after {recovered:.1f} s")  # noqa: T201
        print("\n".join(f"  {call:12} {found}" for call, found in measured.items()))  # noqa: T201
    assert measured["write"].statuses <= UNSERVED
    assert [name for name, found in measured.items() if found.is_late] == []
    assert recovered < SECONDS_TO_RECOVER + SLACK


@dataclass
class Endured:
    rows: list[str]
    failures: list[str]


async def endure(stand: Stand, person: Person, name: str, fault: Fault) -> Endured:
    await until_well(person, list(CALLS))
    used, stored = stand.used(), await everything_of(person)
    measured: dict[str, Measured] = {}
    async with fault():
        for _ in range(ROUNDS):
            for call, found in (await measure(person, list(CALLS), AT_ONCE)).items():
                kept = measured.setdefault(call, Measured())
                kept.statuses |= found.statuses
                kept.longest = max(kept.longest, found.longest)
                kept.without_retry_after += found.without_retry_after
        worst = stand.used()
    recovered = await until_well(person, list(CALLS))
    lost = [
        key for key, content in stored.items() if not key_stands(key, content, await everything_of(person))
    ]
    rows = [f"\n{name}: well again after {recovered:.1f} s; threads, files, connections {used} → {worst}"]
    rows += [f"  {call:12} {found}" for call, found in measured.items()]
    failures = [
        f"{name}, {call}: {found}"
        for call, found in measured.items()
        if found.is_late or found.without_retry_after or found.statuses - RIGHT - UNSERVED
    ]
    failures += (
        [f"{name}: well again after {recovered:.1f} s"] if recovered > SECONDS_TO_RECOVER + SLACK else []
    )
    failures += [f"{name}: {key} is lost" for key in lost]
    return Endured(rows, failures)


async def everything_of(person: Person) -> dict[str, Any]:
    return {key: content for key, content in (await everything_stored()).items() if person.id in key}


def key_stands(key: str, content: tuple[str, bool], now: dict[str, Any]) -> bool:
    """What expires may be gone, and who was here."""
    return content[1] or key.endswith(":presence") or key in now
