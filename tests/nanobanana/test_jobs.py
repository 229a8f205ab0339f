"""Jobs: done by a worker, again when they fail, by another when it dies, and visible when they cannot be."""

import asyncio
import importlib
import os
import pkgutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from redis.exceptions import ConnectionError

import accounts
import chats
import media_store
from nanobanana import job_broker, job_queue, job_worker
from nanobanana.job_worker import JOBS
from nanobanana.jobs import Job, job
from nanobanana.redisdb import client as redis_client
from nanobanana.redisdb.client import ask, get_client
from tests.redisdb.support import speaking_to
from tests.support import toy_jobs
from tests.support.jobs import forget_all, toys_in_another_process, until, until_done, working
from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.outages import full, replica
from tests.support.redis_server import RunningRedis
from tests.support.server_process import served

pytestmark = pytest.mark.usefixtures("redis_server")


@pytest.fixture(autouse=True)
async def _clean(redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Nothing of earlier tests, and no long waits."""
    monkeypatch.setattr(job_worker, "TICK", 0.1)
    monkeypatch.setattr(job_worker, "LONGEST_SLEEP", 20)
    monkeypatch.setattr(job_broker, "FIRST_PAUSE", 10)
    monkeypatch.setattr(job_broker, "LONGEST_PAUSE", 30)
    monkeypatch.setattr(job_broker, "PAUSE", 0.05)
    await forget_all()
    await get_client().delete("toy:hang", toy_jobs.STARTS, toy_jobs.EFFECTS)
    yield
    await forget_all()


def recording(runs: list[dict[str, Any]], **options: Any) -> Job[...]:
    @job("record", **options)
    async def record(**arguments: Any) -> None:
        runs.append(arguments)

    return record


async def failures() -> list[str]:
    return await get_client().zrange(job_queue.key_of(job_queue.FAILED), 0, -1)


async def test_it_is_done_by_a_worker_with_its_arguments() -> None:
    runs: list[dict[str, Any]] = []
    record = recording(runs)
    async with working(record):
        assert await record.enqueue(user_id="A", image_id="B")
        await until_done()
    assert runs == [{"user_id": "A", "image_id": "B"}]


async def test_called_it_is_done_here() -> None:
    runs: list[dict[str, Any]] = []
    await recording(runs)(user_id="A")
    assert runs == [{"user_id": "A"}]


async def test_arguments_without_a_name_are_refused() -> None:
    with pytest.raises(TypeError):
        await recording([]).enqueue("A")


async def test_while_it_waits_it_is_not_enqueued_again() -> None:
    runs: list[dict[str, Any]] = []
    record = recording(runs)
    answers = [await record.enqueue(n=1), await record.enqueue(n=1), await record.enqueue(n=2)]
    async with working(record):
        await until_done()
        assert await record.enqueue(n=1)  # that one was done
        await until_done()
    assert answers == [True, False, True]
    assert sorted(run["n"] for run in runs) == [1, 1, 2]


async def test_several_run_at_once() -> None:
    together = asyncio.Barrier(4)

    @job("meet", time_limit=5, retries=0)
    async def meet(*, n: int) -> None:
        await together.wait()

    async with working(meet, at_once=4):
        for n in range(4):
            await meet.enqueue(n=n)
        await until_done()
    assert await failures() == []


# ---- failing
async def test_what_fails_is_tried_again() -> None:
    runs: list[int] = []

    @job("fail twice", retries=3)
    async def fail_twice() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError("not yet")

    async with working(fail_twice):
        await fail_twice.enqueue()
        await until_done()
    assert len(runs) == 3


async def test_what_fails_for_good_stays_with_its_reason_and_says_so() -> None:
    told: list[dict[str, Any]] = []

    @job("fail", retries=1)
    async def fail(*, user_id: str) -> None:
        raise ValueError("broken")

    @fail.when_given_up
    async def tell(*, reason: str, user_id: str) -> None:
        told.append({"reason": reason, "user_id": user_id})

    async with working(fail):
        await fail.enqueue(user_id="A")
        await until(failures)
        assert told == [{"reason": "ValueError: broken", "user_id": "A"}]
        [data] = await get_client().hvals(job_queue.messages_key(job_queue.FAILED))
        assert '"reason":"ValueError: broken"' in data.replace('": "', '":"')
        assert await fail.enqueue(user_id="A")  # another try
        assert await failures() == []


async def test_what_takes_too_long_fails() -> None:
    reasons: list[str] = []

    @job("hang", time_limit=0.05, retries=0)
    async def hang() -> None:
        await asyncio.sleep(60)

    @hang.when_given_up
    async def tell(*, reason: str) -> None:
        reasons.append(reason)

    async with working(hang):
        await hang.enqueue()
        await until(failures)
    assert reasons == ["JobTimedOut: It was not done within 0.05 s."]


async def test_a_job_nobody_knows_is_a_failure() -> None:
    async with working():
        await recording([]).enqueue()
        assert await until(failures) == ["record"]


async def test_what_is_left_for_later_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(message: Any) -> bool:
        raise ConnectionError("gone")

    monkeypatch.setattr(job_queue, "add", refuse)
    await recording([]).enqueue_or_leave(n=1)
    with pytest.raises(ConnectionError):
        await recording([]).enqueue(n=1)


# ---- dying
async def test_a_killed_worker_s_job_is_done_by_another_with_one_effect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toy_jobs.be_quick(monkeypatch.setattr)
    client = get_client()
    await client.set("toy:hang", 1)
    async with toys_in_another_process() as killed:
        await toy_jobs.slow.enqueue(name="one")
        await until(lambda: has_length(toy_jobs.STARTS, 1))
        async with working(toy_jobs.slow):
            await asyncio.sleep(2 * job_queue.DEAD_AFTER)  # who is busy is not dead
            killed.send_signal(signal.SIGKILL)
            await until(lambda: has_length(toy_jobs.STARTS, 2))
            await client.delete("toy:hang")
            await until_done()
    assert await client.lrange(toy_jobs.STARTS, 0, -1) == [str(killed.pid), str(os.getpid())]
    assert await client.lrange(toy_jobs.EFFECTS, 0, -1) == ["one"]


async def has_length(key: str, length: int) -> bool:
    return await get_client().llen(key) == length


async def test_a_job_that_nobody_has_is_done() -> None:
    runs: list[dict[str, Any]] = []
    record = recording(runs)
    await record.enqueue(n=1)
    await get_client().delete(job_queue.key_of(job_queue.QUEUE))
    assert await record.enqueue(n=1) is False
    async with working(record):
        await until_done()
    assert runs == [{"n": 1}]


async def test_what_others_did_meanwhile_leaves_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was taken for dead goes on, and fails."""

    @job("fail late", retries=0)
    async def fail_late() -> None:
        await get_client().delete(job_queue.messages_key(job_queue.QUEUE))
        raise ValueError

    async with working(fail_late):
        await fail_late.enqueue()
        await until_done()
        await asyncio.sleep(0.2)
        assert await failures() == []
        assert await fail_late.enqueue()


async def test_a_worker_told_to_stop_gives_back_what_it_cannot_finish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_worker, "GRACE", 0.1)
    begun = asyncio.Event()

    @job("hang", retries=0)
    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    worker = job_worker.JobWorker([hang], at_once=1)
    worker.start()
    await hang.enqueue()
    await begun.wait()
    await worker.stop()
    assert await get_client().lrange(job_queue.key_of(job_queue.QUEUE), 0, -1) == ["hang"]
    assert await failures() == []
    assert await job_queue.workers_alive() == 0


async def test_a_lost_redis_loses_no_job(redis_server: RunningRedis) -> None:
    runs: list[int] = []
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    @job("survive", retries=20)
    async def survive() -> None:
        runs.append(1)
        begun.set()
        await may_go_on.wait()
        await get_client().set("toy:survived", 1)

    async with working(survive):
        await survive.enqueue()
        await begun.wait()
        await asyncio.to_thread(redis_server.kill)
        may_go_on.set()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(redis_server.restart)
        await until(lambda: get_client().exists("toy:survived"))
        await until_done()
    await get_client().delete("toy:survived")


@asynccontextmanager
async def healing(proxy: LossyProxy) -> AsyncIterator[None]:
    yield
    proxy.heal()


def away(proxy: LossyProxy) -> AbstractAsyncContextManager[None]:
    proxy.go_away()
    return healing(proxy)


def slow(proxy: LossyProxy) -> AbstractAsyncContextManager[None]:
    proxy.seconds_late = 0.7
    return healing(proxy)


def silent(proxy: LossyProxy) -> AbstractAsyncContextManager[None]:
    proxy.is_silent = True
    return healing(proxy)


@pytest.mark.parametrize(
    "trouble",
    [away, slow, silent, lambda _: replica(), lambda _: full()],
    ids=["away", "slow", "silent", "replica", "full"],
)
async def test_a_redis_in_trouble_loses_no_job(
    redis_server: RunningRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[LossyProxy], AbstractAsyncContextManager[None]],
) -> None:
    """They run in the middle of it, and are done after it."""
    may_go_on, done = asyncio.Event(), "toy:done"
    monkeypatch.setattr(redis_client, "SECONDS_OF_A_THREAD", 1)
    monkeypatch.setattr(job_queue, "DEAD_AFTER", 3.0)  # a silent Redis may have lost an answer full of jobs

    @job("endure", retries=20)
    async def endure(number: int) -> None:
        await may_go_on.wait()
        await ask("SADD", done, number)

    async with (
        lossy_proxy(tmp_path, redis_server.socket_path) as proxy,
        speaking_to(proxy.url),
        working(endure),
    ):
        for number in range(8):
            await endure.enqueue(number=number)
        await until(job_queue.workers_alive)
        async with trouble(proxy):
            may_go_on.set()
            await asyncio.sleep(2)
        await until_done()
        assert await get_client().scard(done) == 8
        assert await failures() == []
        await get_client().delete(done)


async def test_serve_has_jobs_done(tmp_path: Path) -> None:
    with served(tmp_path / "logs", JOB_WORKERS="1") as server:
        [worker] = await until(job_workers)
        await until(job_queue.workers_alive)
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{server.url}/health/ready")
        assert answer.json()["services"]["jobs"] == "ok"
    assert not psutil.pid_exists(worker)


async def job_workers() -> list[int]:
    """Those of this process's children's children."""
    family = psutil.Process().children(recursive=True)
    return [process.pid for process in family if is_job_worker(process)]


def is_job_worker(process: psutil.Process) -> bool:
    try:
        return "nanobanana.job_worker" in process.cmdline()
    except psutil.NoSuchProcess:  # or a zombie
        return False


# ---- again and again
async def test_a_periodic_job_is_done_once_a_period_however_many_workers_there_are() -> None:
    runs: list[dict[str, Any]] = []
    record = recording(runs, every=60)
    async with working(record):
        other = job_worker.JobWorker([record], at_once=1)
        other.start()
        await asyncio.sleep(0.5)
        await other.stop()
    assert len(runs) == 1


async def test_it_is_done_again_in_the_next_period() -> None:
    runs: list[dict[str, Any]] = []
    async with working(recording(runs, every=0.2)):
        await until(lambda: asyncio.sleep(0, len(runs) >= 3))


async def test_a_periodic_job_that_failed_is_done_again_in_the_next_period() -> None:
    runs: list[int] = []

    @job("fail once", every=0.2, retries=0)
    async def fail_once() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError

    async with working(fail_once):
        await until(lambda: asyncio.sleep(0, len(runs) >= 2))
        await until_done()
        assert await failures() == []


async def test_a_periodic_job_that_still_runs_is_not_enqueued_again() -> None:
    begun, end = [], asyncio.Event()

    @job("long", every=0.05)
    async def take_long() -> None:
        begun.append(1)
        await end.wait()

    async with working(take_long):
        await asyncio.sleep(0.5)
        assert len(begun) == 1
        end.set()
        await until(lambda: asyncio.sleep(0, len(begun) > 1))


def test_workers_know_every_job_there_is_by_a_name_of_its_own() -> None:
    assert len({each.name for each in JOBS}) == len(JOBS)
    assert {each.name for each in declared_jobs()} == {each.name for each in JOBS}


def declared_jobs() -> Iterator[Job[...]]:
    for package in (accounts, chats, media_store):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            declared = vars(importlib.import_module(module.name)).values()
            yield from (each for each in declared if isinstance(each, Job))
