"""The one subscription connection of a process, which rings when an owner's log has grown.

redis-py's own `PubSub` reconnects silently, in the reader and in whoever subscribes at that moment, and can
forget a channel when both do; a doorbell must know when it was deaf, so it holds the connection itself.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError

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
        self._connection: AbstractConnection | None = None

    async def subscribe(self, channel: str) -> None:
        """Return once Redis has confirmed that the channel is heard."""
        if channel not in self._confirmed:
            self._confirmed[channel] = asyncio.Event()
            await self._send("SUBSCRIBE", [channel])
        await self._confirmed[channel].wait()

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        known = [channel for channel in channels if self._confirmed.pop(channel, None)]
        if known:
            await self._send("UNSUBSCRIBE", known)

    async def listen(self) -> None:
        """Listen until cancelled, whatever happens to Redis."""
        delay = FIRST_DELAY
        while True:
            try:
                self._connection = await self._pool.get_connection()
                delay = FIRST_DELAY
                await self._listen_on(self._connection)
            except (RedisError, OSError) as error:
                logger.warning("The doorbell's connection is lost (%s); next attempt in %.2f s", error, delay)
            finally:
                await self._hang_up()
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _listen_on(self, connection: AbstractConnection) -> None:
        if self._confirmed:
            await connection.send_command("SUBSCRIBE", *self._confirmed)
        is_asked = False
        while True:
            response = await connection.read_response(timeout=SECONDS_OF_SILENCE, disconnect_on_error=False)
            if response is not None:
                is_asked = False
                self._hear(response)
            elif is_asked:
                raise ConnectionError("Redis gives no sign of life")
            else:
                is_asked = True
                await connection.send_command("PING")

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

    async def _send(self, command: str, channels: list[str]) -> None:
        """Send a command, unless there is no connection: the next one subscribes to all channels anyway."""
        if self._connection is None:
            return
        try:
            await self._connection.send_command(command, *channels)
        except RedisError:
            logger.info("%s was not sent: the doorbell's connection is lost", command)

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
