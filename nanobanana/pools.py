"""What bounds work: pools of threads for what would hold up the event loop, places for what takes long."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from time import perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

from nanobanana.cores import usable_cores
from nanobanana.errors import ServiceUnavailable
from nanobanana.metrics import POOL_REFUSALS, POOL_SECONDS, POOL_WAITS

T = TypeVar("T")
TOO_MANY = "Too many requests of this kind are under way; try again shortly."


class BoundedPool:
    """Runs functions in at most `threads` threads; with `waiting` more in line, the next one is refused."""

    def __init__(self, name: str, *, threads: int | None = None, waiting: int) -> None:
        count = threads or usable_cores()
        self.waits, self.work = POOL_WAITS.labels(name), POOL_SECONDS.labels(name)
        self.refusals = POOL_REFUSALS.labels(name)
        self.room = count + waiting
        self.executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        if self.room <= 0:
            self.refusals.inc()
            raise ServiceUnavailable(TOO_MANY)
        self.room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.executor, copy_context().run, self._work, perf_counter(), function, *arguments
            )
        finally:
            self.room += 1

    def _work(self, since: float, function: Callable[..., T], *arguments: object) -> T:
        """In one of the threads; `since` is when the work came."""
        self.waits.observe(perf_counter() - since)
        with self.work.time():
            return function(*arguments)


class Places:
    """At most `count` of something run at once in this process, `of_one` for one user; more are refused."""

    def __init__(self, count: int, *, of_one: int) -> None:
        self.count, self.of_one = count, of_one
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    @contextmanager
    def one(self, user_id: str) -> Iterator[None]:
        if self.taken >= self.count or self._taken[user_id] >= self.of_one:
            raise ServiceUnavailable(TOO_MANY)
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            self._taken += Counter()  # forget who has none


class Line:
    """At most `count` of something run at once in an event loop; with `waiting` more, the next is refused."""

    def __init__(self, count: int, *, waiting: int) -> None:
        self.count, self.room = count, count + waiting
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if self.room <= 0:
            raise ServiceUnavailable(TOO_MANY)
        self.room -= 1
        try:
            async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.count)):
                yield
        finally:
            self.room += 1
