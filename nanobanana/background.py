"""Tasks nobody awaits: kept from the garbage collector, logged when they fail, ended with the process."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class Background:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """End them all."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("%s failed", task.get_coro(), exc_info=task.exception())


# Ended with the process: what is done here must be something that others find and finish.
of_this_process = Background()


def log_stray_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For the event loop: its own words for an error nobody awaited quote the error's."""
    logger.error("%s", context["message"], exc_info=context.get("exception"))
