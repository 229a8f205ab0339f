"""Typing indicators of one device: said once in a while, and taken back when nothing more is heard."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

SECONDS_SHOWN = 6  # after the latest word from the device
SECONDS_BETWEEN = 1  # two announcements that say the same

Announce = Callable[[str, bool], Awaitable[None]]
Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Shown(NamedTuple):
    announced_at: float
    timer: asyncio.TimerHandle


class TypingIndicators:
    """In which sessions this device is typing."""

    __slots__ = ("_announce", "_shown", "_spawn")

    def __init__(self, announce: Announce, spawn: Spawn) -> None:
        self._announce = announce
        self._spawn = spawn
        self._shown: dict[str, Shown] = {}

    async def start(self, session_id: str) -> None:
        loop = asyncio.get_running_loop()
        announced_at = -math.inf
        if session_id in self._shown:
            announced_at, timer = self._shown[session_id]
            timer.cancel()
        is_due = loop.time() - announced_at >= SECONDS_BETWEEN
        timer = loop.call_later(SECONDS_SHOWN, self._expire, session_id)
        self._shown[session_id] = Shown(loop.time() if is_due else announced_at, timer)
        if is_due:
            await self._announce(session_id, True)

    async def stop(self, session_id: str) -> None:
        shown = self._shown.pop(session_id, None)
        if shown:
            shown.timer.cancel()
            await self._announce(session_id, False)

    def stop_all(self) -> None:
        for session_id in tuple(self._shown):
            self._expire(session_id)

    def _expire(self, session_id: str) -> None:
        self._spawn(self.stop(session_id))
