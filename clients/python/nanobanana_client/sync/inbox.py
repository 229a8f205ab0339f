"""What came, in order and once, on its way to the handlers."""

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger("nanobanana_client")

Handler = Callable[[Any], Awaitable[None] | None]
Work = Callable[[], Awaitable[None]]


class Inbox:
    """Handlers are called one after another, each when the one before it has finished."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = defaultdict(list)
        self._work: asyncio.Queue[Work | None] = asyncio.Queue()

    def on(self, type: str, handler: Handler) -> Callable[[], None]:
        self._handlers[type].append(handler)
        return lambda: self._handlers[type].remove(handler)

    def put(self, work: Work) -> None:
        self._work.put_nowait(work)

    def tell(self, type: str, notice: Any) -> None:
        """Call the handlers of a type when it is its turn."""
        self.put(lambda: self.call(type, notice))

    async def call(self, type: str, notice: Any) -> None:
        for handler in tuple(self._handlers[type]):
            try:
                result = handler(notice)
                if inspect.isawaitable(result):
                    await result
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                    raise
                logger.exception("A handler of %s failed", type)

    async def deliver(self) -> None:
        """Until `close`."""
        while work := await self._work.get():
            await work()

    def close(self, *, at_once: bool) -> None:
        """After what has come; or at once, after what is being handled."""
        while at_once and not self._work.empty():
            self._work.get_nowait()
        self._work.put_nowait(None)


def _is_being_cancelled() -> bool:
    """Whether this task is; else a CancelledError is of something that a handler awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
