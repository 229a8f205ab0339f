"""What one process does for one user: reads the log once, and hands each event to the user's sockets here."""

import asyncio
import logging
from collections.abc import Callable, Collection

from redis.exceptions import RedisError

from accounts.models import Device
from nanobanana.background import Background
from nanobanana.errors import TokenInvalid
from nanobanana.redisdb.event_log import Cursor, LogEntry, LogSlice, read_behind
from realtime.close_codes import CloseCode
from realtime.frames import Frame
from realtime.payloads import data_frame
from realtime.peer import Peer

logger = logging.getLogger(__name__)

EVENTS_IN_A_ROW = 50  # delivered before other tasks, such as the outboxes', have their turn


class Subscription:
    """The user's sockets in this process, and the position in the log up to which they were served.

    The log is read by one coroutine at a time, so joining and delivering cannot overtake each other.
    """

    def __init__(self, user_id: str, background: Background) -> None:
        self.user_id = user_id
        self.peers: set[Peer] = set()
        self.joining: set[Peer] = set()
        self._position = Cursor("", 0)
        self._bell: Cursor | None = None
        self._reader: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._background = background

    @property
    def is_idle(self) -> bool:
        return not self.peers and not self.joining

    async def join(self, peer: Peer, since: Cursor | None, *, is_return: bool) -> None:
        """Greet the peer, give it what it missed, and have it live from there on, without gap or overlap.

        A device that returns (`is_return`) from a position the log no longer reaches is told to resync.
        """
        async with self._reading:
            log = await read_behind(self.user_id, since)
            if not log.head.epoch:
                raise TokenInvalid
            if not self.peers:
                self._position = log.head
            await self._admit(peer, since, log, is_return=is_return)
            peer.outbox.go_live()
            self.peers.add(peer)

    async def _admit(self, peer: Peer, since: Cursor | None, log: LogSlice, *, is_return: bool) -> None:
        if since is not None and log.is_complete:
            peer.greet(since, recovered=True)
            await self._deliver(log.entries, [peer])
            return
        peer.greet(log.head, recovered=False)
        if is_return:
            peer.resync(log.head)

    def ring(self, bell: Cursor) -> None:
        """The log is at `bell`: read it, or when that is being done, once more afterwards."""
        self._bell = bell
        if self.peers and (self._reader is None or self._reader.done()):
            self._reader = self._background.spawn(self._answer_bells())

    def relay(self, session_id: str, frame: Frame, *, sender: str) -> None:
        """Send a frame that is not of the log to the other devices in a session."""
        for peer in self.peers:
            if session_id in peer.session_ids and peer.connection_id != sender:
                peer.send(frame)

    def close(self, code: CloseCode) -> None:
        for peer in self.peers | self.joining:
            peer.outbox.close(code)

    def sign_out(self, is_signed_out: Callable[[str], bool]) -> None:
        """Close the sockets of the devices for whose id this holds."""
        for peer in self.peers | self.joining:
            if is_signed_out(peer.device_id):
                peer.outbox.close(CloseCode.UNAUTHORIZED)

    async def verify_devices(self) -> None:
        """Close the sockets of devices that are signed out, in case the word of it was lost."""
        device_ids = list({peer.device_id for peer in self.peers})
        found = await Device.objects.aget_many(self.user_id, device_ids)
        present = {device.id for device in found.objects}
        self.sign_out(lambda device_id: device_id in device_ids and device_id not in present)

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
                await self._deliver(log.entries, self.peers)
            else:
                self._resync(log.head)
            self._position = log.head

    async def _deliver(self, entries: list[LogEntry], peers: Collection[Peer]) -> None:
        for number, entry in enumerate(entries, start=1):
            listeners = [peer for peer in peers if self._takes(peer, entry)]
            if listeners:
                frame = data_frame(self.user_id, entry)
                for peer in listeners:
                    peer.send(frame)
            if number % EVENTS_IN_A_ROW == 0:
                await asyncio.sleep(0)

    def _takes(self, peer: Peer, entry: LogEntry) -> bool:
        """Move the peer on to this entry; whether it is new to it, and meant for it."""
        if entry.cursor.offset <= peer.cursor.offset:
            return False
        peer.cursor = entry.cursor
        return peer.hears(entry.audience)

    def _resync(self, head: Cursor) -> None:
        for peer in self.peers:
            if peer.cursor != head:
                peer.resync(head)
