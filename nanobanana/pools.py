"""What bounds work: pools of threads for what would hold up the event loop, places for what takes long."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from nanobanana.errors import ServiceUnavailable

T = TypeVar("T")
TOO_MANY = "Too many requests of this kind are under way; try again shortly."


def usable_cores() -> int:
    """The cores this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class BoundedPool:
    """Runs functions in at most `threads` threads; with `waiting` more in line, the next one is refused."""

    def __init__(self, name: str, *, threads: int | None = None, waiting: int) -> None:
        count = threads or usable_cores()
        self.room = count + waiting
        self.executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        if self.room <= 0:
            raise ServiceUnavailable(TOO_MANY)
        self.room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.executor, copy_context().run, function, *arguments
            )
        finally:
            self.room += 1


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
