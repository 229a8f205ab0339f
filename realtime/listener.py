"""Whoever follows a user's log: a socket, or a long poll."""

from collections.abc import Iterable, Sequence

from accounts.models import User
from accounts.services.access import Visitor
from nanobanana.events import EVERY_DEVICE
from nanobanana.metrics import RECOVERIES, RESYNCS
from nanobanana.redisdb.event_log import Cursor, LogEntry
from realtime.close_codes import CloseCode
from realtime.frames import Frame
from realtime.roll import Roll


class Listener:
    """Who it is, which sessions it hears of, and how far in the log it is.

    `cursor` is the newest position whose events were all handed to it.
    """

    __slots__ = ("cursor", "device_id", "session_ids", "user")

    def __init__(self, visitor: Visitor, session_ids: Iterable[str]) -> None:
        self.user = User(visitor.user.id, visitor.user.id)  # what else is known of a user takes 1 KB
        self.device_id = visitor.device_id
        self.session_ids = set(session_ids)
        self.cursor = Cursor("", 0)

    def take(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Move on to the last of these, which are in order; those that are new to it, and meant for it."""
        behind = self.cursor.offset
        if entries and entries[-1].cursor.offset > behind:
            self.cursor = entries[-1].cursor
        return [entry for entry in entries if entry.cursor.offset > behind and self.hears(entry.audience)]

    def hears(self, audience: str) -> bool:
        return audience == EVERY_DEVICE or audience in self.session_ids

    def greet(self, cursor: Cursor, *, recovered: bool) -> None:
        """Its position is this; `recovered`: the one it asked for."""
        self.cursor = cursor
        if recovered:
            RECOVERIES.inc()

    def send(self, *frames: Frame) -> None:
        """Hand it events it hears, in order."""
        raise NotImplementedError

    def relay(self, frame: Frame, session_id: str, sender: str) -> None:
        """Hand it what is not of the log, if that is for it."""

    def show(self, roll: Roll) -> None:
        """Tell it who is in its sessions, if that is news to it."""

    def resync(self, cursor: Cursor) -> None:
        """Events are lost to it; after a reload it goes on from here."""
        self.cursor = cursor
        RESYNCS.inc()

    def go_live(self) -> None:
        """It has what it missed; what follows is new."""

    def close(self, code: CloseCode) -> None:
        """It is to hear no more, and to be told why."""
        raise NotImplementedError

    def drop(self) -> None:
        """It has left."""

    async def wait_closed(self) -> None:
        """Wait until it was told."""
