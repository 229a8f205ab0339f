"""A device with a socket, as the hub sees it."""

from accounts.services.access import Visitor
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import new_id
from realtime import frames
from realtime.close_codes import CloseCode
from realtime.frames import Connected, Frame
from realtime.listener import Listener
from realtime.outbox import Outbox, Send
from realtime.roll import Entry, Roll


class Peer(Listener):
    """Puts what it is handed into the outbox of its socket."""

    __slots__ = (
        *("_first_session_id", "_shown", "_since"),
        *("connection_id", "device_name", "entered", "outbox"),
    )

    def __init__(self, visitor: Visitor, session_ids: list[str], send: Send) -> None:
        super().__init__(visitor, session_ids)
        self.device_name = visitor.device_name
        self.connection_id = new_id()
        self.outbox = Outbox(send)
        self.entered = ""  # what Redis was told of it last
        self._since: dict[str, int] = {}  # it is in its sessions
        self._shown: dict[str, object] = {}  # who it knows to be in them
        self._first_session_id = session_ids[0]

    def become(self, visitor: Visitor) -> None:
        """It is a device of the same user still, perhaps another one."""
        self.device_id, self.device_name = visitor.device_id, visitor.device_name

    def greet(self, cursor: Cursor, *, recovered: bool) -> None:
        super().greet(cursor, recovered=recovered)
        greeting = Connected(
            type="connected",
            sessionId=self._first_session_id,
            sessionIds=sorted(self.session_ids),
            userId=self.user.id,
            deviceId=self.device_id,
            connectionId=self.connection_id,
            cursor=str(cursor),
            recovered=recovered,
            timestamp=frames.moment(),
        )
        self.send(frames.encode(greeting))

    def send(self, *frames: Frame) -> None:
        self.outbox.put(*frames)

    def relay(self, frame: Frame, session_id: str, sender: str) -> None:
        if session_id in self.session_ids and self.connection_id != sender:
            self.send(frame)

    @property
    def entry(self) -> Entry:
        """What is to be said of it: where it is, and since when."""
        moment = milliseconds(now())
        self._since = {name: self._since.get(name, moment) for name in self.session_ids}
        return Entry(self.connection_id, self.device_id, self.device_name, self._since)

    def take_over(self, roll: Roll) -> None:
        """Its device may have been there before, with another socket."""
        for session_id in self._since:
            self._since[session_id] = roll.since(self.device_id, session_id) or self._since[session_id]

    def show(self, roll: Roll) -> None:
        shown: dict[str, object] = {}
        for session_id in self.session_ids:
            devices, frame = roll.frame_of(session_id)
            if self._shown.get(session_id) != devices:
                self.send(frame)
            shown[session_id] = devices
        self._shown = shown

    def resync(self, cursor: Cursor) -> None:
        super().resync(cursor)
        self.send(frames.resync_required(cursor))

    def go_live(self) -> None:
        self.outbox.go_live()

    def close(self, code: CloseCode) -> None:
        self.outbox.close(code)

    def drop(self) -> None:
        self.outbox.drop()

    async def wait_closed(self) -> None:
        await self.outbox.wait_closed()
