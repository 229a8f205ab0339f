"""What waits to be written to one socket. A slow reader fills its own outbox and delays nobody."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from realtime.close_codes import CloseCode
from realtime.frames import Frame

Send = Callable[[dict[str, Any]], Awaitable[None]]

BYTES_WAITING = 1024 * 1024  # in a live socket's outbox at most; then it is closed
SECONDS_TO_CLOSE = 10  # for the close frame to find room, before the connection is cut


class Outbox:
    """A bounded queue, and the task that empties it; both are for what cannot be written at once."""

    __slots__ = ("_frames", "_limit", "_send", "_size", "_socket", "_task", "code", "is_closed")

    def __init__(self, send: Send) -> None:
        self.is_closed = False
        self.code: CloseCode | None = None  # why it was closed here
        self._send = send
        self._frames: list[Frame] = []
        self._size = 0
        self._limit = math.inf
        self._task: asyncio.Task[None] | None = None
        self._socket = socket_of(send)

    def put(self, *frames: Frame) -> None:
        """Write the frames at once, or queue them; close the socket instead when too much is waiting."""
        if self._task is None and self._socket is not None and is_ready(self._socket) and not self.is_closed:
            self._socket.transport.write(b"".join([frame.wire for frame in frames]))
            return
        for frame in frames:
            self._queue(frame)

    def _queue(self, frame: Frame) -> None:
        if self.is_closed:
            return
        if self._size + frame.size > self._limit:
            self.close(CloseCode.TOO_SLOW)
            return
        self._frames.append(frame)
        self._size += frame.size
        if self._task is None:
            self._task = asyncio.create_task(self._drain())

    def go_live(self) -> None:
        """From now on the queue is bounded; what is in it already is what a returning device asked for."""
        self._limit = self._size + BYTES_WAITING

    def close(self, code: CloseCode) -> None:
        """Drop what waits and close the socket."""
        if self.is_closed:
            return
        self.code = code
        self.drop()
        self._task = asyncio.create_task(self._close(code))

    def drop(self) -> None:
        """The socket has gone: drop what waits, and take no more."""
        self.is_closed = True
        self._frames.clear()
        if self._task is not None:
            self._task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the close frame is written, or given up."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._frames:
                frames, self._frames = self._frames, []
                for frame in frames:
                    await self._send({"type": "websocket.send", "text": frame.text})
                    self._size -= frame.size
        except (OSError, RuntimeError):  # the peer left, or the server closed the socket: no more can be sent
            self.is_closed = True
            self._frames.clear()
        self._task = None

    async def _close(self, code: CloseCode) -> None:
        try:
            async with asyncio.timeout(SECONDS_TO_CLOSE):
                await self._send({"type": "websocket.close", "code": code})
        except TimeoutError:
            self._cut()
        except (OSError, RuntimeError):
            pass  # it is closed already

    def _cut(self) -> None:
        # The server's own close waits until all is written, which a peer that reads nothing never allows.
        if self._socket is not None:
            self._socket.transport.abort()


def socket_of(send: Send) -> WebSocketsSansIOProtocol | None:
    """uvicorn's side of the socket that an ASGI `send` belongs to.

    ASGI has no word for cutting a connection, and it has each socket encode the same frame anew.
    """
    owner = getattr(send, "__self__", None)
    return owner if isinstance(owner, WebSocketsSansIOProtocol) else None


def is_ready(socket: WebSocketsSansIOProtocol) -> bool:
    """Whether a frame can be written now, as it is and behind all that was written before."""
    return (
        socket.writable.is_set()
        and socket.conn.state is State.OPEN
        and not socket.close_sent
        and not socket.conn.extensions
        and not socket.transport.is_closing()
    )
