"""The WebSocket consumer: transport only. It admits, passes frames on, pings, and says goodbye."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from django.conf import settings

from accounts.services.access import Visitor
from nanobanana.errors import MalformedBody
from nanobanana.exception_handler import translate
from nanobanana.logs import request_log
from nanobanana.metrics import HANDSHAKES, SOCKETS, SOCKETS_CLOSED
from nanobanana.request_ids import begin_request
from realtime import frames
from realtime.authentication import Handshake, admit
from realtime.close_codes import CloseCode, close_code_of, label_of
from realtime.commands import Commands
from realtime.hub import Hub, get_hub
from realtime.peer import Peer

PING_INTERVAL = 30  # seconds
PINGS_UNANSWERED = 2  # then the peer is gone
WARNING = 60  # seconds that a token is still good for when its end is announced, a third of its life at most
FRAMES_A_SECOND = 50  # that a device may send

Message = dict[str, Any]


class DeviceConsumer(AsyncConsumer):
    """One socket of one device, from the handshake to the end."""

    peer: Peer | None = None
    hub: Hub
    commands: Commands

    def __init__(self) -> None:
        self._next_ping: asyncio.TimerHandle | None = None
        self._token_end: asyncio.TimerHandle | None = None
        self._code = 1006  # with which it ended
        self._expires_at = 0  # Unix seconds
        self._pings_unanswered = 0
        self._second = 0.0
        self._frames_this_second = 0

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        start = time.perf_counter()
        begin_request()
        # The base class has another task for each socket, to wait for a channel layer too, and closes idle
        # database connections before each message, in a thread. There are neither.
        self.scope, self.base_send = scope, send
        try:
            with suppress(StopConsumer):
                while True:
                    await self.dispatch(await receive())
        finally:
            self._leave()
            duration = round((time.perf_counter() - start) * 1000)
            status = int(self._code)
            request_log().info("socket", route="/ws/:session_id", status=status, duration_ms=duration)

    async def dispatch(self, message: Message) -> None:
        await getattr(self, get_handler_name(message))(message)

    async def websocket_connect(self, message: Message) -> None:
        """Accept first: a browser cannot see why a handshake failed, but it sees a close code."""
        handshake = Handshake.of(self.scope)
        await self.send({"type": "websocket.accept", "subprotocol": handshake.subprotocol})
        try:
            await self._admit(handshake)
        except Exception as error:
            code = close_code_of(translate(error))
            HANDSHAKES.labels(label_of(code)).inc()
            await self.send({"type": "websocket.close", "code": code})

    async def websocket_receive(self, message: Message) -> None:
        if self.peer is None or self.peer.outbox.is_closed:
            return
        self._pings_unanswered = 0
        if self._is_flooding():
            self.peer.outbox.close(CloseCode.TOO_MANY_FRAMES)
            return
        try:
            await self.commands.run(text_of(message))
        except Exception as error:
            self.peer.send(frames.error(translate(error)))

    async def websocket_disconnect(self, message: Message) -> None:
        self._code = message.get("code", self._code)
        raise StopConsumer

    async def _admit(self, handshake: Handshake) -> None:
        visitor, session_ids = await admit(handshake)
        self.scope["headers"].clear()  # the server holds them as long as the socket: a kilobyte
        peer = Peer(visitor, session_ids, self.base_send)
        self.hub = get_hub()
        await self.hub.connect(peer, handshake.cursor, is_return=bool(handshake.since))
        self.peer = peer
        HANDSHAKES.labels("connected").inc()
        SOCKETS.inc()
        self.commands = Commands(self.hub, peer, self._stay_until_token_ends)
        self._next_ping = self._call_later(PING_INTERVAL, self._ping)
        self._stay_until_token_ends(visitor)

    def _leave(self) -> None:
        for timer in (self._next_ping, self._token_end):
            if timer is not None:
                timer.cancel()
        if self.peer is not None:
            SOCKETS.dec()
            self._code = self.peer.outbox.code or self._code
            SOCKETS_CLOSED.labels(label_of(self._code)).inc()
            self.commands.end()
            self.hub.leave(self.peer)

    def _call_later(self, seconds: float, action: Callable[[Peer], None]) -> asyncio.TimerHandle:
        assert self.peer is not None
        return asyncio.get_running_loop().call_later(seconds, action, self.peer)

    def _ping(self, peer: Peer) -> None:
        if self._pings_unanswered == PINGS_UNANSWERED:
            peer.outbox.close(CloseCode.SILENT)
            return
        self._pings_unanswered += 1
        peer.send(frames.ping(peer.cursor))
        self._next_ping = self._call_later(PING_INTERVAL, self._ping)

    def _stay_until_token_ends(self, visitor: Visitor) -> None:
        self._expires_at = visitor.expires_at
        if self._token_end is not None:
            self._token_end.cancel()
        warning = min(WARNING, settings.JWT_EXPIRES_IN / 3)
        self._token_end = self._call_later(max(0, self._expires_at - warning - time.time()), self._warn)

    def _warn(self, peer: Peer) -> None:
        peer.send(frames.token_expired(self._expires_at))
        self._token_end = self._call_later(self._expires_at - time.time(), self._expire)

    def _expire(self, peer: Peer) -> None:
        peer.outbox.close(CloseCode.UNAUTHORIZED)

    def _is_flooding(self) -> bool:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second = now
            self._frames_this_second = 0
        self._frames_this_second += 1
        return self._frames_this_second > FRAMES_A_SECOND


def text_of(message: Message) -> str:
    """The text of a frame; a binary one is refused."""
    text = message.get("text")
    if text is None:
        raise MalformedBody("Frames are text, never binary.")
    return text
