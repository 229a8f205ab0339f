"""How long a request waits for Redis in all.

Each call is given up after a time; yet a Redis that takes two seconds for each would hold up a request of
five calls for ten. So the slow calls of one request share that time. A quick answer gives some of it back,
for what takes many calls may take long, and so does time that passes without a call. Not all of it: a Redis
that comes back only to fail again, as on a full disk, would hold up a request twice.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from time import monotonic
from typing import TypeVar

QUICK = 0.1  # seconds; nobody loses patience at an answer that comes sooner
REGAINED = 0.2  # seconds, by a quick answer

T = TypeVar("T")


class Patience:
    """What a request, the life of a socket or a job has left of its time, and since when."""

    __slots__ = ("left", "since")

    def __init__(self) -> None:
        self.left, self.since = float("inf"), monotonic()

    async def bear(self, call: Awaitable[T], seconds: float) -> T:
        """Wait for a call that ends by itself after so many seconds, or earlier: TimeoutError then."""
        begin = monotonic()
        self.left = left = min(seconds, self.left + begin - self.since)
        try:
            if left >= seconds:
                answer = await call
            else:
                async with asyncio.timeout(left):
                    answer = await call
        finally:
            self.since = monotonic()
            took = self.since - begin
            self.left = min(self.left, left - took)  # others wait at the same time: it counts once
        if took < QUICK:
            self.left = min(seconds, self.left + REGAINED)
        return answer


_at_hand: ContextVar[Patience | None] = ContextVar("patience", default=None)


def begin() -> None:
    """What the running task does from here on is a request of its own."""
    _at_hand.set(Patience())


async def bear(call: Awaitable[T], seconds: float) -> T:
    """Wait for a call that ends by itself after so many seconds, with the patience of the request at hand."""
    patience = _at_hand.get()
    try:
        return await (call if patience is None else patience.bear(call, seconds))
    except TimeoutError as error:  # without a word, and logs show its words
        raise TimeoutError("Redis does not answer.") from error
