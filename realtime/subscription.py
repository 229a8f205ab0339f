"""What one process does for one user: reads the log once, and hands each event to all who listen here."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from redis.exceptions import RedisError

from accounts.models import Device
from nanobanana.background import Background
from nanobanana.errors import TokenInvalid
from nanobanana.metrics import DELIVERIES
from nanobanana.redisdb.event_log import Cursor, LogEntry, LogSlice, read_behind
from realtime.attendance import Attendance
from realtime.close_codes import CloseCode
from realtime.frames import Frame
from realtime.listener import Listener
from realtime.payloads import data_frame
from realtime.roll import Roll

logger = logging.getLogger(__name__)

MICROSECONDS_OVERTAKEN = 10_000_000  # by a later word; more, and the clock of Redis was set back
EVENTS_IN_A_ROW = 50  # delivered before other tasks, such as the outboxes', have their turn


class Subscription:
    """The user's sockets and polls in this process, and the position in the log up to which they were served.

    The log is read by one coroutine at a time, so joining and delivering cannot overtake each other.
    """

    def __init__(self, user_id: str, background: Background) -> None:
        self.user_id = user_id
        self.listeners: set[Listener] = set()
        self.joining: set[Listener] = set()
        self.attendance = Attendance(user_id, background)
        self._roll_shown = 0
        self._position = Cursor("", 0)
        self._bell: Cursor | None = None
        self._reader: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._background = background

    @property
    def is_idle(self) -> bool:
        return not self.listeners and not self.joining and not self.attendance.peers

    async def join(self, listener: Listener, since: Cursor | None, *, is_return: bool) -> None:
        """Greet the listener, give it what it missed, and have it live from there on, without gap or overlap.

        A device that returns (`is_return`) from a position the log no longer reaches is told to resync.
        """
        async with self._reading:
            log = await read_behind(self.user_id, since)
            if not log.head.epoch:
                raise TokenInvalid
            if not self.listeners:
                self._position = log.head
            await self._admit(listener, since, log, is_return=is_return)
            listener.go_live()
            self.listeners.add(listener)
        self._read_if_rung()  # the bell may have rung when nobody listened yet

    async def _admit(
        self, listener: Listener, since: Cursor | None, log: LogSlice, *, is_return: bool
    ) -> None:
        if since is not None and log.is_complete:
            listener.greet(since, recovered=True)
            await self._deliver(log.entries, [listener])
            return
        listener.greet(log.head, recovered=False)
        if is_return:
            listener.resync(log.head)

    def ring(self, bell: Cursor, carried: Sequence[LogEntry] = ()) -> None:
        """The log is at `bell`: read it, or when that is being done, once more afterwards.

        What the bell carries need not be read, if it is what comes next.
        """
        if carried and self._is_waiting and self._follows(carried[0]):
            self._hand_out(carried, self.listeners)
            self._position = bell
            return
        if bell == self._position and self._is_waiting:
            return
        self._bell = bell
        self._read_if_rung()

    def relay(self, session_id: str, frame: Frame, *, sender: str) -> None:
        """Send a frame that is not of the log to the other devices in a session."""
        for listener in self.listeners:
            listener.relay(frame, session_id, sender)

    def show(self, roll: Roll) -> None:
        """Tell everybody who is here, unless something newer was told already."""
        if 0 < self._roll_shown - roll.moment < MICROSECONDS_OVERTAKEN:
            return
        self._roll_shown = roll.moment
        for listener in self.listeners:
            listener.show(roll)

    def close(self, code: CloseCode) -> None:
        for listener in self.listeners | self.joining:
            listener.close(code)

    def sign_out(self, is_signed_out: Callable[[str], bool]) -> None:
        """Close what the devices have open for whose id this holds."""
        for listener in self.listeners | self.joining:
            if is_signed_out(listener.device_id):
                listener.close(CloseCode.UNAUTHORIZED)

    async def verify_devices(self) -> None:
        """Close what devices have open that are signed out, in case the word of it was lost."""
        device_ids = list({listener.device_id for listener in self.listeners})
        found = await Device.objects.aget_many(self.user_id, device_ids)
        present = {device.id for device in found.objects}
        self.sign_out(lambda device_id: device_id in device_ids and device_id not in present)

    @property
    def _is_waiting(self) -> bool:
        """Whether nobody reads the log just now, or is about to."""
        return not self._reading.locked() and (self._reader is None or self._reader.done())

    def _follows(self, entry: LogEntry) -> bool:
        return entry.cursor == Cursor(self._position.epoch, self._position.offset + 1)

    def _read_if_rung(self) -> None:
        if self._bell is not None and self.listeners and (self._reader is None or self._reader.done()):
            self._reader = self._background.spawn(self._answer_bells())

    async def _answer_bells(self) -> None:
        while self._bell is not None:
            bell, self._bell = self._bell, None
            if bell == self._position:
                continue
            try:
                await self._catch_up()
            except (RedisError, OSError) as error:
                logger.warning("The log of %s cannot be read until the next check: %s", self.user_id, error)

    async def _catch_up(self) -> None:
        async with self._reading:
            log = await read_behind(self.user_id, self._position)
            if not log.head.epoch:  # the account is deleted
                self.close(CloseCode.UNAUTHORIZED)
            elif log.is_complete:
                await self._deliver(log.entries, self.listeners)
            else:
                self._resync(log.head)
            self._position = log.head

    async def _deliver(self, entries: list[LogEntry], listeners: Iterable[Listener]) -> None:
        for first in range(0, len(entries), EVENTS_IN_A_ROW):
            self._hand_out(entries[first : first + EVENTS_IN_A_ROW], listeners)
            await asyncio.sleep(0)

    def _hand_out(self, entries: Sequence[LogEntry], listeners: Iterable[Listener]) -> None:
        """Hand each listener what is new to it, at once; an entry is encoded once, if anybody hears it."""
        frames: dict[int, Frame] = {}
        deliveries = 0
        for listener in listeners:
            taken = listener.take(entries)
            for entry in taken:
                if entry.cursor.offset not in frames:
                    frames[entry.cursor.offset] = data_frame(self.user_id, entry)
            if taken:
                listener.send(*[frames[entry.cursor.offset] for entry in taken])
                deliveries += len(taken)
        if deliveries:
            DELIVERIES.inc(deliveries)

    def _resync(self, head: Cursor) -> None:
        for listener in self.listeners:
            if listener.cursor != head:
                listener.resync(head)
