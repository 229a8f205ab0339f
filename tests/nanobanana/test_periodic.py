"""nanobanana/periodic.py"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError

from nanobanana.asgi import JOBS
from nanobanana.periodic import PeriodicJob
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id
from tests.support.redis_server import RunningRedis

pytestmark = pytest.mark.usefixtures("redis_server")
PATIENCE = 5  # seconds


def job(run: Callable[[], Awaitable[None]], every: float = 0.02) -> PeriodicJob:
    return PeriodicJob(f"test {new_id()}", every=every, run=run)


async def until_run(job: PeriodicJob, enough: asyncio.Event) -> None:
    """Keep it running until `enough` is set."""
    task = asyncio.create_task(job.keep_running())
    async with asyncio.timeout(PATIENCE):
        await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def nothing() -> None:
    pass


async def test_one_process_has_the_turn_in_each_period() -> None:
    one = job(nothing, every=60)
    other = PeriodicJob(one.name, every=60, run=nothing)
    assert [await which.take_turn() for which in (one, other, one)] == [True, False, False]
    assert 59_000 < await get_client().pttl(one.turn_key) <= 60_000
    await get_client().delete(one.turn_key)
    assert await other.take_turn()


async def test_jobs_do_not_take_each_other_s_turns() -> None:
    assert await job(nothing).take_turn()
    assert await job(nothing).take_turn()
    assert len({job.name for job in JOBS}) == len(JOBS)


async def test_it_runs_again_and_again() -> None:
    runs, enough = [], asyncio.Event()

    async def run() -> None:
        runs.append(1)
        if len(runs) == 3:
            enough.set()

    await until_run(job(run), enough)


@pytest.mark.parametrize("error", [ValueError("a bug"), ConnectionError("Redis is gone"), TimeoutError()])
async def test_what_goes_wrong_does_not_end_it(error: Exception) -> None:
    runs, enough = [], asyncio.Event()

    async def run() -> None:
        runs.append(1)
        if len(runs) == 2:
            enough.set()
        raise error

    await until_run(job(run), enough)


async def test_it_outlives_a_lost_redis(redis_server: RunningRedis) -> None:
    enough = asyncio.Event()

    async def run() -> None:
        enough.set()

    redis_server.kill()
    task = asyncio.create_task(until_run(job(run), enough))
    await asyncio.sleep(0.2)
    assert not enough.is_set()
    await asyncio.to_thread(redis_server.restart)
    await task


async def test_two_processes_share_the_work() -> None:
    runs: list[str] = []

    async def of(name: str) -> None:
        runs.append(name)

    first = job(lambda: of("first"), every=0.1)
    second = PeriodicJob(first.name, every=0.1, run=lambda: of("second"))
    tasks = [asyncio.create_task(process.keep_running()) for process in (first, second)]
    await asyncio.sleep(0.55)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 3 <= len(runs) <= 6
