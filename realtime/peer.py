"""A device with a socket, as the hub sees it."""

from accounts.services.access import Visitor
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.ids import new_id
from realtime import frames
from realtime.close_codes import CloseCode
from realtime.frames import Connected, Frame
from realtime.listener import Listener
from realtime.outbox import Outbox, Send


class Peer(Listener):
    """Puts what it is handed into the outbox of its socket."""

    def __init__(self, visitor: Visitor, session_ids: list[str], send: Send) -> None:
        super().__init__(visitor, session_ids)
        self.connection_id = new_id()
        self.outbox = Outbox(send)
        self._first_session_id = session_ids[0]

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

    def send(self, frame: Frame) -> None:
        self.outbox.put(frame)

    def relay(self, frame: Frame, session_id: str, sender: str) -> None:
        if session_id in self.session_ids and self.connection_id != sender:
            self.send(frame)

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
