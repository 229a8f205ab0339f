"""The one subscription connection of a process, which rings when an owner's log has grown.

redis-py's own `PubSub` reconnects silently, in the reader and in whoever subscribes at that moment, and can
forget a channel when both do; a doorbell must know when it was deaf, so it holds the connection itself.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from hiredis import Reader, pack_command
from redis._parsers.base import BaseParser
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError

from nanobanana.metrics import DOORBELL_LOSSES

logger = logging.getLogger(__name__)

SECONDS_OF_SILENCE = 10  # then Redis is asked for a sign of life, and given as long to answer
FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0  # seconds between attempts to connect again


class Doorbell:
    """Subscribes to channels and hands on what is said there, through any number of lost connections.

    `on_message(channel, text)` must not block. `on_restored()` is called when the channels are heard again
    after a loss: what was said in between is lost.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        on_message: Callable[[str, str], None],
        on_restored: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._on_message = on_message
        self._on_restored = on_restored
        self._confirmed: dict[str, asyncio.Event] = {}  # by channel
        self._ear: Ear | None = None

    async def subscribe(self, channel: str) -> None:
        """Return once Redis has confirmed that the channel is heard."""
        if channel not in self._confirmed:
            self._confirmed[channel] = asyncio.Event()
            self._send("SUBSCRIBE", [channel])
        await self._confirmed[channel].wait()

    def unsubscribe(self, channels: Iterable[str]) -> None:
        known = [channel for channel in channels if self._confirmed.pop(channel, None)]
        if known:
            self._send("UNSUBSCRIBE", known)

    async def listen(self) -> None:
        """Listen until cancelled, whatever happens to Redis."""
        delay = FIRST_DELAY
        while True:
            try:
                handshake = self._pool.make_connection()
                async with asyncio.timeout(SECONDS_OF_SILENCE):
                    await handshake.connect()
                self._ear = Ear(handshake, self._hear)
                delay = FIRST_DELAY
                await self._listen_with(self._ear)
            except (RedisError, OSError) as error:
                DOORBELL_LOSSES.inc()
                logger.warning("The doorbell's connection is lost (%s); next attempt in %.2f s", error, delay)
            finally:
                self._hang_up()
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _listen_with(self, ear: "Ear") -> None:
        """Until the connection is lost, or silent for too long."""
        if self._confirmed:
            ear.send("SUBSCRIBE", *self._confirmed)
        is_asked = False
        while True:
            ear.has_heard = False
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_OF_SILENCE):
                    await ear.is_lost.wait()
                raise ConnectionError("it was closed")
            if is_asked and not ear.has_heard:
                raise ConnectionError("Redis gives no sign of life")
            is_asked = not ear.has_heard
            if is_asked:
                ear.send("PING")

    def _hear(self, response: list[str] | str) -> None:
        match response:
            case ["message", channel, text]:
                self._on_message(channel, text)
            case ["subscribe", channel, _] if channel in self._confirmed:
                self._confirm(self._confirmed[channel])

    def _confirm(self, confirmed: asyncio.Event) -> None:
        if confirmed.is_set():  # for the second time: the connection is a new one
            self._on_restored()
        confirmed.set()

    def _send(self, command: str, channels: list[str]) -> None:
        """Send a command, if there is a connection."""
        if self._ear is not None:
            self._ear.send(command, *channels)

    def _hang_up(self) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.close()


class Ear(asyncio.Protocol):
    """One connection, of which each reply is handed on as it comes: no task wakes up for it.

    redis-py makes the connection (address, TLS, password).
    """

    def __init__(self, handshake: AbstractConnection, hear: Callable[[Any], None]) -> None:
        self.is_lost = asyncio.Event()
        self.has_heard = False
        self._handshake = handshake
        self._hear = hear
        self._reader = Reader(
            encoding="utf-8",
            errors="surrogateescape",
            protocolError=ConnectionError,
            replyError=BaseParser.parse_error,
        )
        self._transport = handshake._writer.transport  # type: ignore[union-attr]  # it is connected
        self._transport.set_protocol(self)
        if self._transport.is_closing():  # that was said to the protocol before
            self.is_lost.set()

    def send(self, *words: str) -> None:
        """Send a command; a connection that is lost takes none, and the next one has all channels anyway."""
        if self._transport.is_closing():
            return
        self._transport.write(pack_command(words))  # type: ignore[arg-type]  # hiredis means tuple[…, ...]

    def close(self) -> None:
        self._transport.abort()
        self._handshake._close()

    def data_received(self, data: bytes) -> None:
        self.has_heard = True
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, RedisError):
                    raise reply
                self._hear(reply)
        except RedisError as error:
            logger.warning("The doorbell cannot listen: %s", error)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost.set()
