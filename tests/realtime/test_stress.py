"""What must hold when everything is cut off, killed and frozen: `make stress`, some minutes each."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.server import Server, running_server
from nanobanana.stress.accounts import Account, client_of
from nanobanana.stress.devices import Device
from tests.support.lossy_proxy import lossy_proxy
from tests.support.redis_server import RunningRedis
from tests.support.server_process import served
from tests.support.threads import in_a_thread

pytestmark = pytest.mark.long
PROJECT = Path(__file__).resolve().parents[2]
MEGABYTE = 1024 * 1024
AT_ONCE = 10  # writes


def stress(*options: str) -> dict[str, int]:
    """The numbers of a run in which nothing was wrong, by their names."""
    run = subprocess.run(
        [sys.executable, "manage.py", "stress", *options], cwd=PROJECT, capture_output=True, text=True
    )
    print(" ".join(options), run.stdout)  # noqa: T201  # the table is what one wants to see
    assert run.returncode == 0, run.stdout + run.stderr
    rows = re.findall(r"^([a-zA-Z0-9 -]+?) +([\d,]+)", run.stdout, flags=re.MULTILINE)
    return {name: int(count.replace(",", "")) for name, count in rows}


def test_three_thousand_reconnects_while_twenty_thousand_events_cross_processes() -> None:
    numbers = stress(
        *("--seconds", "120", "--writes", "11500", "--cuts", "3500"),
        *("--accounts", "8", "--devices", "40", "--writers", "8"),
    )
    assert numbers["connects"] >= 3000
    assert numbers["events"] >= 20_000
    assert numbers["catch-up p99"] < 500


def test_a_process_killed_every_five_seconds_for_two_minutes() -> None:
    numbers = stress(
        "--seconds", "120", "--kills", "24", "--cuts", "200", "--accounts", "8", "--devices", "16"
    )
    assert numbers["workers killed"] >= 15


def test_the_subscription_cut_a_hundred_times() -> None:
    numbers = stress("--seconds", "75", "--silences", "115", "--cuts", "0")  # some find it lost already
    assert numbers["subscriptions cut"] >= 100
    assert numbers["worst stall"] < 10_000


def test_a_process_frozen_for_fifteen_seconds() -> None:
    assert stress("--seconds", "30", "--freezes", "1", "--cuts", "20")["workers frozen"] == 1


def test_redis_killed_under_load() -> None:
    assert stress("--seconds", "60", "--redis-kills", "5", "--cuts", "50")["Redis killed"] == 5


async def test_every_tenth_reply_of_redis_swallowed(redis_server: RunningRedis, tmp_path: Path) -> None:
    async with lossy_proxy(tmp_path, redis_server.socket_path) as proxy:
        async with in_a_thread(served(tmp_path / "logs", REDIS_URL=proxy.url)) as server:
            proxy.lose_every = 10
            options = ("--url", server.url, "--seconds", "1", "--writes", "5000", "--cuts", "50")
            numbers = await asyncio.to_thread(stress, *options)
            proxy.lose_every = 0
        assert proxy.lost > 500
    assert numbers["writes answered"] >= 5000


async def test_a_reader_that_stops_reading_is_closed_and_costs_no_memory() -> None:
    with running_server() as server:
        async with client_of(server.url, AT_ONCE) as http:
            account = Account(http)
            await account.register(1)
            worker = server.worker()
            with reading_nothing(server, account):
                neighbour = Device(account, [server.url])
                listening = asyncio.create_task(neighbour.stay())
                await until(lambda: neighbour.start is not None)
                await write(account, 200)  # what any writing costs is there now
                before = worker.memory_info().rss
                connections = len(worker.net_connections())
                began = time.monotonic()
                while len(worker.net_connections()) == connections:
                    await write(account, 20)
                    assert time.monotonic() - began < 30
                grown = worker.memory_info().rss - before
                end = await account.position()
                await until(lambda: neighbour.position == end)
                listening.cancel()
    assert grown < 5 * MEGABYTE
    assert [event.offset for event in neighbour.heard] == list(range(neighbour.start + 1, end + 1))


@contextmanager
def reading_nothing(server: Server, account: Account) -> Iterator[None]:
    """A socket of the account whose reader never reads."""
    with socket.socket() as reader:
        reader.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 4096
        )  # before it connects, or it grows to 6 MB
        reader.connect(("127.0.0.1", server.port))
        head = (
            f"GET /ws/{account.session_ids[0]}?token={account.token} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        reader.sendall(head.encode())
        yield


async def write(account: Account, count: int) -> None:
    path = f"/api/sessions/{account.session_ids[0]}/messages"
    body = {"role": "user", "text": "x" * 3000}
    for _ in range(count // AT_ONCE):
        await asyncio.gather(*(account.ask("POST", path, body) for _ in range(AT_ONCE)))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  # a device tells nobody
            await asyncio.sleep(0.01)
