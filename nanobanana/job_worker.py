"""A process that does jobs: `python -m nanobanana.job_worker SUPERVISOR`, or `manage.py worker`.

dramatiq's threads take jobs from the queue, and hand each to the event loop of the process, where it runs as
requests do in theirs: with the same clients and pools. SUPERVISOR is the pid of the parent, without which the
process ends.
"""

import asyncio
import concurrent.futures
import logging
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
try:
    django.setup()
except ImproperlyConfigured as error:  # one sentence for the operator
    sys.exit(str(error))

import dramatiq
import uvloop
from django.conf import settings
from redis.exceptions import RedisError

from accounts.services.deletion import finish_deletion, finish_deletions
from chats.services.purge import purge_due
from chats.services.trash import remove_session
from media_store.services.compression import compress_due
from media_store.services.processing import check_pictures, prepare_picture
from media_store.services.sweep import sweep_due
from media_store.storage import get_storage
from nanobanana import job_queue
from nanobanana.background import log_stray_error, of_this_process
from nanobanana.job_broker import Interrupted, JobBroker
from nanobanana.jobs import Job
from nanobanana.metrics import JOB_RUNS, JOB_SECONDS, counted
from nanobanana.redisdb import connection
from nanobanana.redisdb.client import connect_blocking
from nanobanana.request_ids import begin_request, note_user

JOBS: tuple[Job[...], ...] = (
    check_pictures,
    compress_due,
    finish_deletion,
    finish_deletions,
    prepare_picture,
    purge_due,
    remove_session,
    sweep_due,
)

LONGEST_SLEEP = 300  # milliseconds until a waiting job is noticed
TICK = 5.0  # seconds between looks at what is due, and at who died
GRACE = 5.0  # seconds that running jobs have when the process is told to stop
REST = 5.0  # seconds that those cut short then have to say so

logger = logging.getLogger(__name__)


class JobTimedOut(Exception):
    """A job took longer than its time limit."""


class JobWorker:
    """Does jobs, so many at once, between `start` and `stop`, in the running event loop."""

    def __init__(self, jobs: Iterable[Job[...]], *, at_once: int) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = connect_blocking()
        self._broker = JobBroker(self._client, self._give_up)
        self._broker.declare_queue(job_queue.QUEUE)
        for job in self._jobs.values():
            self._declare(job)
        self._threads = dramatiq.Worker(
            self._broker, worker_threads=self._at_once, worker_timeout=LONGEST_SLEEP
        )
        self._threads.queue_prefetch = self._at_once  # what waits here could be done elsewhere
        self._threads.start()
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Take no more; let those that run end, and put those that do not in time back into the queue."""
        self._ticking.cancel()
        self._broker.take_no_more()
        stopping = asyncio.create_task(asyncio.to_thread(self._stop_threads))
        await asyncio.wait([stopping], timeout=GRACE)
        for task in tuple(self._running):
            task.cancel()
        await stopping

    def _declare(self, job: Job[...]) -> None:
        def do(**arguments: Any) -> None:
            try:
                asyncio.run_coroutine_threadsafe(self._do(job, arguments), self._loop).result()
            except concurrent.futures.CancelledError:
                raise Interrupted from None

        dramatiq.Actor(
            do,
            broker=self._broker,
            actor_name=job.name,
            queue_name=job_queue.QUEUE,
            priority=0,
            options={"max_retries": job.retries},
        )

    async def _do(self, job: Job[...], arguments: dict[str, Any]) -> None:
        begin_request()
        if "user_id" in arguments:
            note_user(arguments["user_id"])
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            async with asyncio.timeout(job.time_limit) as limit:
                with counted(JOB_RUNS, name=job.name), JOB_SECONDS.labels(job.name).time():
                    await job(**arguments)
        except TimeoutError as error:
            if limit.expired():
                raise JobTimedOut(f"It was not done within {job.time_limit:g} s.") from error
            raise
        finally:
            self._running.discard(task)

    def _give_up(self, message: Any) -> None:
        """In the thread of the job."""
        handler = self._jobs[message.actor_name].give_up
        if handler:
            telling = handler(reason=message.options["reason"], **message.kwargs)
            asyncio.run_coroutine_threadsafe(telling, self._loop).result()  # type: ignore[arg-type]

    async def _tick(self) -> None:
        periodic = [(job.message(), job.every) for job in self._jobs.values() if job.every]
        while True:
            try:
                if recovered := await job_queue.recover():
                    logger.warning("%d jobs are given to others: the worker that had them died", recovered)
                await job_queue.add_due(periodic)
            except (RedisError, OSError) as error:
                logger.warning("The queue of jobs is out of reach: %s", error)
            except Exception:
                logger.exception("The queue of jobs cannot be looked after")
            await asyncio.sleep(TICK)

    def _stop_threads(self) -> None:
        try:
            self._threads.stop(timeout=int((GRACE + REST) * 1000))
            self._broker.leave()
        except RedisError as error:  # then others find it out by themselves
            logger.warning("The queue of jobs is out of reach: %s", error)
        self._client.close()


async def work(supervisor: int | None = None) -> None:
    """Do jobs until a signal asks to stop, or the supervisor has gone."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    loop.set_exception_handler(log_stray_error)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # `nohup` has the last one ignored
            loop.add_signal_handler(number, told.set)
    get_storage()  # the SDK of a cloud takes a second to load
    worker = JobWorker(JOBS, at_once=settings.JOBS_AT_ONCE)
    worker.start()
    try:
        while not told.is_set() and (supervisor is None or os.getppid() == supervisor):
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), timeout=1)
    finally:
        await worker.stop()
        await of_this_process.cancel()
        await connection.close()


def run(supervisor: int | None = None) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(supervisor))


if __name__ == "__main__":
    run(int(sys.argv[1]))
