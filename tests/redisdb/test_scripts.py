"""Scripts are known to a server or taught to it; a call ends in time, and its reply reaches nobody else."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from nanobanana.redisdb import client, connection, scripts
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Box, Shelf, Told, make_box, make_shelf
from tests.support.redis_server import RunningRedis


async def test_a_server_that_forgot_its_scripts_learns_them_again(owner: str, redis: Redis) -> None:
    shelf = await make_shelf(owner)
    await redis.script_flush()
    box = await make_box(shelf)
    await redis.script_flush()
    assert await Box.objects.aget(owner, box.id) == box


async def test_everything_works_again_after_a_restart(owner: str, mortal_redis: RunningRedis) -> None:
    shelf = await make_shelf(owner, title="survivor")
    mortal_redis.kill()
    mortal_redis.restart()
    assert (await Shelf.objects.aget(owner, shelf.id)).title == "survivor"
    async with unit_of_work(owner) as work:
        Shelf.objects.add(work, shelf, box_count=1)
        work.emit(Told(), shelf)
    assert shelf.box_count == 1


async def test_a_server_that_is_gone_is_an_error_and_not_a_wait(
    owner: str, mortal_redis: RunningRedis
) -> None:
    shelf = await make_shelf(owner)
    mortal_redis.kill()
    with pytest.raises(ConnectionError):
        await Shelf.objects.aget(owner, shelf.id)
    mortal_redis.restart()
    assert await Shelf.objects.aget(owner, shelf.id) == shelf


async def test_a_call_that_takes_too_long_ends_and_nobody_gets_its_reply(
    owner: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelves = [await make_shelf(owner, title=str(number)) for number in range(10)]
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", 0.05)
    await redis.client_pause(300)
    with pytest.raises(TimeoutError):
        await Shelf.objects.aget(owner, shelves[0].id)
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", client.SECONDS_TO_ANSWER)
    for shelf in shelves:
        assert await Shelf.objects.aget(owner, shelf.id) == shelf


async def test_callers_that_leave_disturb_nobody(owner: str) -> None:
    shelves = [await make_shelf(owner, title=str(number)) for number in range(40)]
    calls = [asyncio.create_task(Shelf.objects.aget(owner, shelf.id)) for shelf in shelves]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    assert await asyncio.gather(*calls[1::2]) == shelves[1::2]
    assert all(call.cancelled() for call in calls[::2])
    assert [await Shelf.objects.aget(owner, shelf.id) for shelf in shelves] == shelves


async def test_an_error_of_one_call_is_not_that_of_its_neighbours(owner: str, redis: Redis) -> None:
    good = await make_shelf(owner)
    bad = Shelf(owner, new_id())
    await redis.set(bad.key, "garbage")
    answers = await asyncio.gather(
        *[Shelf.objects.aget(owner, shelf.id) for shelf in [good, bad] * 20], return_exceptions=True
    )
    assert answers[::2] == [good] * 20
    assert all("WRONGTYPE" in str(answer) for answer in answers[1::2])


async def test_each_script_says_what_it_takes_and_returns() -> None:
    for path in sorted((scripts._directory).glob("*.lua")):
        head = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("--"))
        assert all(word in head for word in ("KEYS", "ARGV", "Returns")), path.name
