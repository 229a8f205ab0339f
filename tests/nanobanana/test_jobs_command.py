"""`manage.py jobs`"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.management import CommandError

from nanobanana import job_broker, job_queue, job_worker
from nanobanana.jobs import Job, job
from nanobanana.redisdb.client import get_client
from tests.support.commands import run, run_for_json
from tests.support.jobs import forget_all, until, until_done, working
from tests.support.redis_server import RunningRedis


@pytest.fixture(autouse=True)
async def _empty_queue(redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(job_worker, "LONGEST_SLEEP", 20)
    monkeypatch.setattr(job_broker, "FIRST_PAUSE", 300)
    await forget_all()
    yield
    await forget_all()


class Toys:
    """A job that fails as long as it is told to, and one that hangs."""

    def __init__(self) -> None:
        self.is_broken, self.runs, self.begun, self.end = True, 0, asyncio.Event(), asyncio.Event()

    def fail(self, retries: int = 0) -> Job[...]:
        @job("fail", retries=retries)
        async def fail(**arguments: Any) -> None:
            self.runs += 1
            if self.is_broken:
                raise ValueError("broken")

        return fail

    def hang(self) -> Job[...]:
        @job("hang")
        async def hang() -> None:
            self.begun.set()
            await self.end.wait()

        return hang


async def states() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in (await run_for_json("jobs"))["jobs"]:
        found.setdefault(entry["state"], []).append(entry["id"])
    return found


async def failed() -> int:
    return (await job_queue.figures())["failed"]


async def test_it_lists_what_waits_and_runs() -> None:
    toys = Toys()
    hang = toys.hang()
    async with working(hang, at_once=1):
        await hang.enqueue()
        await toys.begun.wait()
        await toys.fail().enqueue(user_id="A")
        content = await run_for_json("jobs")
        assert await states() == {"running": ["hang"], "waiting": ["fail A"]}
        toys.end.set()
    assert {name: content[name] for name in ("workers", "waiting", "running", "delayed", "failed")} == {
        "workers": 1,
        "waiting": 1,
        "running": 1,
        "delayed": 0,
        "failed": 0,
    }
    [waiting, _] = content["jobs"]
    assert (waiting["name"], waiting["arguments"]) == ("fail", {"user_id": "A"})


async def test_it_lists_what_failed_with_its_reason() -> None:
    fail = Toys().fail()
    async with working(fail):
        await fail.enqueue(user_id="A")
        await until(failed)
        [entry] = (await run_for_json("jobs", "--state", "failed"))["jobs"]
        assert (entry["id"], entry["state"], entry["tries"]) == ("fail A", "failed", 1)
        assert entry["reason"] == "ValueError: broken"
        assert "fail A  failed 1 time: ValueError: broken" in await run("jobs")


async def test_it_lists_what_will_be_tried_again() -> None:
    toys = Toys()
    fail = toys.fail(retries=3)
    async with working(fail):
        await fail.enqueue()
        await until(lambda: asyncio.sleep(0.01, toys.runs))
        [entry] = await until(delayed)
        assert entry["due"] > entry["since"]
        assert entry["reason"] == "ValueError: broken"


async def delayed() -> list[dict[str, Any]]:
    return (await run_for_json("jobs", "--state", "delayed"))["jobs"]


@pytest.mark.parametrize("stored", ["{bro", None])
async def test_one_that_cannot_be_read_is_listed_and_dropped(stored: str | None) -> None:
    client = get_client()
    await client.zadd(job_queue.key_of(job_queue.FAILED), {"torn": time.time() * 1000})
    if stored:
        await client.hset(job_queue.messages_key(job_queue.FAILED), "torn", stored)
    [entry] = (await run_for_json("jobs"))["jobs"]
    assert (entry["id"], entry["state"]) == ("torn", "failed")
    assert "cannot be read" in entry["reason"]
    with pytest.raises(CommandError, match="Nothing to retry: torn"):
        await run("jobs", "retry", "torn")
    assert (await run_for_json("jobs", "drop", "--all"))["jobs"] == ["torn"]
    assert (await run_for_json("jobs"))["jobs"] == []


async def test_a_failed_job_is_tried_again() -> None:
    toys = Toys()
    fail = toys.fail()
    async with working(fail):
        await fail.enqueue(user_id="A")
        await until(failed)
        toys.is_broken = False
        assert await run("jobs", "retry", "fail A") == "1 job will be tried again.\n"
        await until_done()
    assert (toys.runs, await failed()) == (2, 0)


async def test_all_failed_jobs_are_tried_again() -> None:
    toys = Toys()
    fail = toys.fail()
    async with working(fail):
        for user_id in ("A", "B"):
            await fail.enqueue(user_id=user_id)
        await until(lambda: asyncio.sleep(0, toys.runs == 2))
        await until_done()
        toys.is_broken = False
        assert sorted((await run_for_json("jobs", "retry", "--all"))["jobs"]) == ["fail A", "fail B"]
        await until_done()
    assert await failed() == 0


async def test_a_waiting_job_is_dropped() -> None:
    await Toys().fail().enqueue(user_id="A")
    assert await run("jobs", "drop", "fail A") == "1 job dropped.\n"
    assert await states() == {}


async def test_a_dropped_job_is_not_tried_again() -> None:
    toys = Toys()
    fail = toys.fail(retries=3)
    async with working(fail):
        await fail.enqueue()
        await until(delayed)
        await run("jobs", "drop", "fail")
        await asyncio.sleep(0.7)  # longer than the pause before the retry
    assert toys.runs == 1
    assert await states() == {}


async def test_a_running_job_is_not_dropped() -> None:
    toys = Toys()
    hang = toys.hang()
    async with working(hang):
        await hang.enqueue()
        await toys.begun.wait()
        with pytest.raises(CommandError, match="Nothing to drop: hang"):
            await run("jobs", "drop", "hang")
        toys.end.set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry"], "Say which"),
        (["drop", "x", "--all"], "Say which"),
        (["retry", "no such job"], "Nothing to retry: no such job"),
        (["list", "x"], "All jobs are listed"),
        (["--limit", "0"], "--limit 0"),
    ],
)
async def test_nonsense_is_one_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        await run("jobs", *arguments)
