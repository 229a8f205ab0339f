"""Bounded pools of threads, for work that would hold up the event loop."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from nanobanana.errors import ServiceUnavailable

T = TypeVar("T")


class BoundedPool:
    """Runs functions in at most `threads` threads; with `waiting` more in line, the next one is refused."""

    def __init__(self, name: str, *, threads: int | None = None, waiting: int) -> None:
        count = threads or os.cpu_count() or 1
        self.room = count + waiting
        self.executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        if self.room <= 0:
            raise ServiceUnavailable("Too many requests of this kind are under way; try again shortly.")
        self.room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self.executor, copy_context().run, function, *arguments
            )
        finally:
            self.room += 1
