"""A connected device, as the hub sees it."""

from accounts.services.access import Visitor
from nanobanana.events import EVERY_DEVICE
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.ids import new_id
from realtime import frames
from realtime.frames import Connected, Frame
from realtime.outbox import Outbox, Send


class Peer:
    """Who it is, which sessions it is in, how far in the log it is, and its outbox.

    `cursor` is the newest position whose events are all in the outbox or sent.
    """

    def __init__(self, visitor: Visitor, session_ids: list[str], send: Send) -> None:
        self.user = visitor.user
        self.device_id = visitor.device_id
        self.connection_id = new_id()
        self.session_ids = set(session_ids)
        self.cursor = Cursor("", 0)
        self.outbox = Outbox(send)
        self._first_session_id = session_ids[0]

    def hears(self, audience: str) -> bool:
        return audience == EVERY_DEVICE or audience in self.session_ids

    def send(self, frame: Frame) -> None:
        self.outbox.put(frame)

    def greet(self, cursor: Cursor, *, recovered: bool) -> None:
        """Tell the position this connection continues from."""
        self.cursor = cursor
        greeting = Connected(
            type="connected",
            sessionId=self._first_session_id,
            sessionIds=sorted(self.session_ids),
            userId=self.user.id,
            connectionId=self.connection_id,
            cursor=str(cursor),
            recovered=recovered,
            timestamp=frames.moment(),
        )
        self.send(frames.encode(greeting))

    def resync(self, cursor: Cursor) -> None:
        """Tell that events are lost to it, and where to go on after a reload."""
        self.cursor = cursor
        self.send(frames.resync_required(cursor))
