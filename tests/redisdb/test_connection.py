"""The shared connection: many calls at once, each with its own answer or an error, whatever is lost."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError, ResponseError

from nanobanana.redisdb import connection, scripts
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.support import speaking_to
from tests.redisdb.toys import Box, Shelf
from tests.support.lossy_proxy import lossy_proxy
from tests.support.redis_server import RunningRedis


async def make_shelf(title: str) -> Shelf:
    owner = new_id()
    shelf = Shelf(owner, new_id(), title=title)
    async with unit_of_work(owner) as work:
        Shelf.objects.create(work, shelf)
    return shelf


async def title_of(shelf: Shelf) -> str:
    return (await Shelf.objects.aget(shelf.owner_id, shelf.id)).title


async def test_a_hundred_calls_at_once_get_each_its_own_answer() -> None:
    shelves = [await make_shelf(f"shelf {number}") for number in range(100)]
    assert await asyncio.gather(*map(title_of, shelves)) == [shelf.title for shelf in shelves]


async def test_no_call_gets_another_s_answer_when_replies_vanish_from_the_stream(
    monkeypatch: pytest.MonkeyPatch, redis_server: RunningRedis, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", 0.2)
    shelves = [await make_shelf(f"shelf {number}") for number in range(20)]
    async with (
        lossy_proxy(tmp_path, redis_server.socket_path, lose_every=7, keep_connection=True) as proxy,
        speaking_to(proxy.url),
    ):
        while proxy.lost < 4:
            titles = await asyncio.gather(*map(title_of, shelves), return_exceptions=True)
            wrong = [
                (title, shelf.title)
                for title, shelf in zip(titles, shelves, strict=True)
                if title != shelf.title and not isinstance(title, ConnectionError | TimeoutError)
            ]
            assert wrong == []


async def test_a_caller_who_leaves_does_not_disturb_the_others() -> None:
    shelves = [await make_shelf(f"shelf {number}") for number in range(20)]
    calls = [asyncio.create_task(title_of(shelf)) for shelf in shelves]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    assert await asyncio.gather(*calls[1::2]) == [shelf.title for shelf in shelves[1::2]]
    assert await title_of(shelves[0]) == "shelf 0"


async def test_an_error_goes_to_the_call_that_made_it() -> None:
    shelf, broken = await make_shelf("whole"), await make_shelf("broken")
    await get_client().set(broken.key + "x", "no hash")
    bad_call = scripts.commit(
        ["one", "two", "three", broken.key + "x"], [*[0] * 8, "set", 4, 2, "field", "value"]
    )
    results = await asyncio.gather(title_of(shelf), bad_call, title_of(broken), return_exceptions=True)
    assert (results[0], results[2]) == ("whole", "broken")
    assert isinstance(results[1], ResponseError)


async def test_a_killed_connection_is_opened_again(redis_server: RunningRedis) -> None:
    shelf = await make_shelf("still here")
    for _ in range(20):
        await get_client().client_kill_filter(_type="normal", skipme=True)
        assert await title_of(shelf) == "still here"


async def test_a_server_that_does_not_answer_is_an_error_within_bounds(
    monkeypatch: pytest.MonkeyPatch, mortal_redis: RunningRedis
) -> None:
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", 0.2)
    shelf = await make_shelf("asleep")
    os.kill(mortal_redis.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await title_of(shelf)
    os.kill(mortal_redis.pid, signal.SIGCONT)
    assert await title_of(shelf) == "asleep"


async def test_a_server_that_accepts_and_says_nothing_is_an_error_within_bounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", 0.2)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    shelf = Shelf(new_id(), new_id())
    server = await asyncio.start_unix_server(say_nothing, tmp_path / "silent.sock")
    async with speaking_to(f"unix://{tmp_path}/silent.sock"), asyncio.timeout(10):
        answers = await asyncio.gather(*[title_of(shelf) for _ in range(5)], return_exceptions=True)
    server.close()
    assert [type(answer) for answer in answers] == [TimeoutError] * 5


async def test_a_server_that_is_gone_is_a_connection_error_and_can_come_back(
    mortal_redis: RunningRedis,
) -> None:
    shelf = await make_shelf("back again")
    mortal_redis.kill()
    with pytest.raises(ConnectionError):
        await title_of(shelf)
    mortal_redis.restart()
    assert await title_of(shelf) == "back again"


async def test_all_calls_share_one_connection(redis_server: RunningRedis, tmp_path: Path) -> None:
    async with lossy_proxy(tmp_path, redis_server.socket_path) as proxy, speaking_to(proxy.url):
        shelf = await make_shelf("shared")
        before = proxy.requests
        await asyncio.gather(*[title_of(shelf) for _ in range(200)])
        assert proxy.requests - before < 100, "calls of one moment should travel together"
        assert await Box.objects.ids(shelf.owner_id, "none", first=0, limit=1) == []


async def test_a_connection_that_is_not_greeted_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server that accepts and says nothing, as a stopped one does; what was opened is closed in time."""
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", 0.2)
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        left.set()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, tmp_path / "silent.sock")
    async with speaking_to(f"unix://{tmp_path}/silent.sock"):
        with pytest.raises(TimeoutError):
            await Shelf.objects.aget(new_id(), new_id())
        async with asyncio.timeout(5):
            await left.wait()
    server.close()
