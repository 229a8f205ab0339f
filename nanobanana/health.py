"""What a request needs, and whether it is there.

Load balancers ask often, and from many sides. What was found is good for a second, and while one asks the
others wait for the same answer: however many ask, a process looks at Redis and the storage once a second.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable

from django.conf import settings

from media_store.storage import StorageUnavailable, get_storage
from nanobanana import job_queue, stopping
from nanobanana.errors import ServiceUnavailable
from nanobanana.exception_handler import translate
from nanobanana.redisdb.client import SECONDS_TO_ANSWER, ask
from nanobanana.redisdb.keys import global_key

logger = logging.getLogger(__name__)

FRESH_FOR = 1.0  # seconds
LIFE_OF_MARK = 10_000  # milliseconds that what is written to try it stays


class Check:
    """One thing to find out: `look` raises what is wrong."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._looking: asyncio.Task[str | None] | None = None
        self._good_until = 0.0
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """What is wrong, as a sentence for anybody; None when all is well."""
        return await asyncio.shield(self.look())  # who leaves takes the answer from nobody

    def look(self) -> "asyncio.Task[str | None]":
        """Begin to find that out, unless somebody does or it is known."""
        if self._looking is None or (self._looking.done() and time.monotonic() >= self._good_until):
            self._looking = asyncio.create_task(self._find())
        return self._looking

    async def _find(self) -> str | None:
        problem = None
        try:
            await self._look()
        except Exception as error:
            problem = translate(error).message
            if problem != self._problem:  # it is asked every second, perhaps for hours
                logger.error("A health check failed: %s: %s", type(error).__name__, error)
        self._problem, self._good_until = problem, time.monotonic() + FRESH_FOR
        return problem


async def look_whether_redis_answers() -> None:
    await ask("PING")


async def look_whether_redis_keeps_what_is_written() -> None:
    await ask("SET", global_key("ready"), 1, "PX", LIFE_OF_MARK)
    memory = await ask("INFO", "memory")
    if memory["maxmemory"] and memory["maxmemory_policy"] != "noeviction":
        raise ServiceUnavailable(
            "The database deletes what it has when its memory is full: set maxmemory-policy to noeviction."
        )


async def look_whether_storage_works() -> None:
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            await get_storage().check()
    except TimeoutError as error:
        raise StorageUnavailable(f"There was no answer within {SECONDS_TO_ANSWER} s.") from error


async def look_whether_jobs_are_done() -> None:
    if not await job_queue.workers_alive():
        raise ServiceUnavailable("Nobody does jobs: run `manage.py worker`, or set JOB_WORKERS.")


PRESENCE = {"redis": Check(look_whether_redis_answers), "storage": Check(look_whether_storage_works)}
READINESS = PRESENCE | {"redis": Check(look_whether_redis_keeps_what_is_written)}

BEHIND = {"jobs": Check(look_whether_jobs_are_done)}

Problems = dict[str, str | None]  # what is wrong with each service; None where all is well


async def missing_services() -> Problems:
    return await _problems_of(PRESENCE)


async def obstacles_to_requests() -> Problems:
    """Why no requests should be sent here: what a service refuses, or the end of this process."""
    checks = READINESS | BEHIND if settings.READY_NEEDS_JOBS else READINESS
    problems = await _problems_of(checks)
    return problems | {"worker": "This process was told to stop." if stopping.is_stopping() else None}


async def obstacles_behind_requests() -> Problems:
    """Why jobs wait. Requests are served all the same: READY_NEEDS_JOBS says whether it keeps them away."""
    return await _problems_of(BEHIND)


async def _problems_of(checks: dict[str, Check]) -> Problems:
    for check in checks.values():
        check.look()  # all at once
    return {name: await check.problem() for name, check in checks.items()}


def may_see_details(authorization: str) -> bool:
    """Whether the header shows HEALTH_TOKEN, if there is one to show."""
    return not settings.HEALTH_TOKEN or shows(authorization, settings.HEALTH_TOKEN)


def may_see_metrics(authorization: str) -> bool:
    """Whether it shows METRICS_TOKEN; without one, nobody may in production, and anybody elsewhere."""
    wanted = settings.METRICS_TOKEN
    return shows(authorization, wanted) if wanted else not settings.IS_PRODUCTION


def shows(authorization: str, token: str) -> bool:
    return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
