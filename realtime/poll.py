"""A request that waits for what comes next in the log: `GET /api/sync`."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from accounts.services.access import Visitor
from nanobanana.errors import TokenInvalid
from nanobanana.redisdb.event_log import Cursor
from realtime.close_codes import CloseCode
from realtime.frames import Frame
from realtime.listener import Listener


class Poll(Listener):
    """Keeps what it is handed for its answer; it hears of all sessions when it names none."""

    def __init__(self, visitor: Visitor, session_ids: Iterable[str]) -> None:
        super().__init__(visitor, session_ids)
        self.frames: list[Frame] = []
        self.needs_resync = False
        self._is_signed_out = False
        self._is_over = asyncio.Event()

    def hears(self, audience: str) -> bool:
        return not self.session_ids or super().hears(audience)

    def send(self, *frames: Frame) -> None:
        self.frames += frames
        self.end()

    def resync(self, cursor: Cursor) -> None:
        super().resync(cursor)
        self.frames.clear()  # the reload has them
        self.needs_resync = True
        self.end()

    def close(self, code: CloseCode) -> None:
        self._is_signed_out = code == CloseCode.UNAUTHORIZED
        self.end()

    def end(self) -> None:
        """Wait no longer."""
        self._is_over.set()

    async def wait(self, seconds: float) -> None:
        """Wait for something to answer, or until the time is over; TokenInvalid for who is signed out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_over.wait()
        if self._is_signed_out:
            raise TokenInvalid
