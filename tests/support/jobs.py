"""Workers for jobs: in the event loop of the tests, or in a process of its own that can be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nanobanana import job_queue
from nanobanana.job_worker import JobWorker
from nanobanana.jobs import Job
from nanobanana.redisdb.client import get_client

PATIENCE = 20  # seconds


@asynccontextmanager
async def working(*jobs: Job[...], at_once: int = 4) -> AsyncIterator[JobWorker]:
    """Have these jobs done, the periodic ones at once; nothing is left of the queue in the end."""
    worker = JobWorker(jobs, at_once=at_once)
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
        await forget_all()


@asynccontextmanager
async def toys_in_another_process() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that does the jobs of `tests/support/toy_jobs.py`; it is killed in the end, if not before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.toy_jobs", env={**os.environ}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def until_done() -> None:
    """Wait until nothing waits, runs or is to be tried again."""
    client = get_client()

    async def is_done() -> bool:
        pipeline = client.pipeline(transaction=True)  # one that moves from queue to queue is always seen
        for queue in QUEUES:
            pipeline.hlen(job_queue.messages_key(queue))
        return not any(await pipeline.execute())

    await until(is_done)


async def forget_all() -> None:
    client = get_client()
    async for key in client.scan_iter(f"{job_queue.NAMESPACE}:*", count=10_000):
        await client.delete(key)


async def until(condition: Any) -> Any:
    """Wait for what `condition`, a coroutine function, returns to be true; it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await condition()):  # noqa: ASYNC110  # nobody says when
            await asyncio.sleep(0.02)
        return found


QUEUES = (job_queue.QUEUE, job_queue.DELAYED)
