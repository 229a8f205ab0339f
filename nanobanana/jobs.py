"""Jobs: work behind the answers, done by the processes of `manage.py worker` (nanobanana/job_worker.py).

A job is an async function, declared where its work is at home and listed in `JOBS` of job_worker.py:

    @job("prepare picture", time_limit=120)
    async def prepare_picture(*, user_id: str, image_id: str) -> None:
        '''Make the thumbnail of a picture, unless it has one.'''

    await prepare_picture.enqueue(user_id=image.owner_id, image_id=image.id)  # one call to Redis
    await prepare_picture(user_id=image.owner_id, image_id=image.id)          # here and now
    await prepare_picture.begin_here(user_id=…, image_id=…)                   # here, then a worker

    @prepare_picture.when_given_up
    async def show_why(*, reason: str, user_id: str, image_id: str) -> None:
        '''After the last retry, with the same arguments.'''

    @job("purge", every=3600)  # needs no enqueue: once an hour, however many processes there are
    async def purge_due() -> None: ...

Each job bears to be done again, and by two at once: a process can be killed in the middle, and one that was
taken for dead may go on. So the arguments name what is to be done, and the job looks what is left of it.
While a job waits or runs, enqueueing it again with the same arguments does nothing.

A crash between a commit and `enqueue` loses the job. What must be done nevertheless is found by a periodic
job that looks for it, by an index, and enqueues it; then `enqueue_or_leave` serves, which fails nothing.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec

from dramatiq.message import Message
from redis.exceptions import RedisError

from nanobanana import job_queue

Arguments = ParamSpec("Arguments")
Handler = Callable[..., Awaitable[None]]

TIME_LIMIT = 600.0  # seconds
PATIENCE = 0.8  # seconds that a request waits for work that a worker can do as well
RETRIES = 8  # after 5, 10, 20 … 300 seconds: within a quarter of an hour or two

logger = logging.getLogger(__name__)


class Job(Generic[Arguments]):
    """A declared job; called, it is the function. `retries` come after the first attempt."""

    def __init__(
        self,
        name: str,
        function: Callable[Arguments, Awaitable[None]],
        *,
        time_limit: float,
        retries: int,
        every: float | None,
    ) -> None:
        self.name, self.function = name, function
        self.time_limit, self.retries, self.every = time_limit, retries, every
        self.give_up: Handler | None = None

    async def __call__(self, *positional: Arguments.args, **named: Arguments.kwargs) -> None:
        await self.function(*positional, **named)

    def when_given_up(self, handler: Handler) -> Handler:
        """Have this called, with the arguments and a `reason`, when the job failed for good."""
        self.give_up = handler
        return handler

    async def enqueue(self, *positional: Arguments.args, **named: Arguments.kwargs) -> bool:
        """Have it done soon, by whoever is free; whether it was not waiting or running already."""
        if positional:
            raise TypeError("Jobs take their arguments by name.")
        return await job_queue.add(self.message(**named))

    async def enqueue_or_leave(self, *positional: Arguments.args, **named: Arguments.kwargs) -> None:
        """The same, for what a periodic job finds and enqueues as well: it need not succeed now."""
        try:
            await self.enqueue(*positional, **named)
        except (RedisError, OSError) as error:
            logger.warning("%s %s is left for later: %s", self.name, named, error)

    async def begin_here(self, *positional: Arguments.args, **named: Arguments.kwargs) -> None:
        """Do it here for PATIENCE seconds; what is not done by then, or fails, is left to a worker.

        For what is committed already, so that no caller need know; a periodic job finds it as well.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await self(*positional, **named)
        except TimeoutError:
            pass
        except Exception:
            logger.exception("%s %s is left to a worker", self.name, named)
        await self.enqueue_or_leave(*positional, **named)

    def message(self, **named: Any) -> Message[Any]:
        """What stands in the queue: the job, by an id that says all."""
        identifier = " ".join([self.name, *(json.dumps(named[name]).strip('"') for name in sorted(named))])
        return Message(
            queue_name=job_queue.QUEUE,
            actor_name=self.name,
            args=(),
            kwargs=named,
            options={"redis_message_id": identifier},
            message_id=identifier,
        )


def job(
    name: str, *, time_limit: float = TIME_LIMIT, retries: int = RETRIES, every: float | None = None
) -> Callable[[Callable[Arguments, Awaitable[None]]], Job[Arguments]]:
    """Declare a job: times in seconds; with `every`, it is enqueued by itself, without arguments."""

    def declare(function: Callable[Arguments, Awaitable[None]]) -> Job[Arguments]:
        return Job(name, function, time_limit=time_limit, retries=retries, every=every)

    return declare
