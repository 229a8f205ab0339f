"""One connection to Redis that all calls of a process share.

Commands go out as they come and replies come back in the same order, so that calls of many requests share
system calls instead of each taking a connection and waiting on it: with eight at a time, 15 µs of CPU a call
against 76 µs through a pool were measured. redis-py makes the connection (address, TLS, password, database).
"""

import asyncio
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from hiredis import Reader
from redis._parsers.base import BaseParser
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError

from nanobanana.redisdb.client import SECONDS_TO_ANSWER, close_client, get_client, pack
from nanobanana.redisdb.patience import bear

PAUSES = (0.02, 0.1)  # seconds before a call is tried again on a new connection


class SharedConnection(asyncio.Protocol):
    """Sends commands and hands each reply to the call that waits longest for one.

    A call whose time is up gets a TimeoutError, and the connection is dropped. One timer watches the call
    that waits longest: one for each would cost as much as the rest of a call.
    """

    def __init__(self, handshake: AbstractConnection) -> None:
        self._handshake = handshake
        self._transport = handshake._writer.transport  # type: ignore[union-attr]  # it is connected
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()  # with when their time is up
        self._watch: asyncio.TimerHandle | None = None
        self._reader = Reader(
            encoding="utf-8",
            errors="surrogateescape",
            protocolError=ConnectionError,
            replyError=BaseParser.parse_error,
        )
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def call(self, command: bytes, deadline: float) -> asyncio.Future[Any]:
        """Send a command; `deadline` is never before that of the call before."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((deadline, future))
        self._transport.write(command)
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._look)
        return future

    def _look(self) -> None:
        """Drop the connection when the oldest call waits too long, else look again when it would."""
        self._watch = None
        if not self._waiting:
            return
        deadline, future = self._waiting[0]
        if deadline > self._loop.time():
            self._watch = self._loop.call_at(deadline, self._look)
            return
        if not future.done():
            future.set_exception(TimeoutError("Redis does not answer."))
        self.abort()

    def abort(self) -> None:
        """Drop the connection and all calls that wait on it."""
        self._transport.abort()
        self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._answer(self._waiting.popleft()[1], reply)
        except (ConnectionError, IndexError):  # no reply of Redis's protocol, or one that nobody asked for
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._handshake._close()
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionError("The connection to Redis was lost."))

    @staticmethod
    def _answer(future: asyncio.Future[Any], reply: Any) -> None:
        if future.done():
            return  # its caller has left
        if isinstance(reply, RedisError):
            future.set_exception(reply)
        else:
            future.set_result(reply)


class Line:
    """The shared connection of one event loop, opened when needed and again when it was lost."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: SharedConnection | None = None
        self._opening = asyncio.Lock()

    async def call(self, *arguments: str | bytes | int | float, ticket: str) -> Any:
        """Send one command, tried again when the connection is lost: for what can safely be done twice.

        The reply is to begin with `ticket`, which the command carries; the rest of it is returned.
        """
        command = pack(*arguments)
        return await bear(self._try_thrice(command, ticket), SECONDS_TO_ANSWER)

    async def _try_thrice(self, command: bytes, ticket: str) -> Any:
        deadline = asyncio.get_running_loop().time() + SECONDS_TO_ANSWER
        for pause in PAUSES:
            try:
                return await self._attempt(command, ticket, deadline)
            except ConnectionError:
                async with asyncio.timeout_at(deadline):
                    await asyncio.sleep(pause)
        return await self._attempt(command, ticket, deadline)

    async def _attempt(self, command: bytes, ticket: str, deadline: float) -> Any:
        connection = self._connection
        if connection is None or not connection.is_open:
            async with asyncio.timeout_at(deadline):
                connection = await self._open()
        returned, reply = await connection.call(command, deadline)
        if returned != ticket:  # a reply went missing on the way, and this one is another call's
            connection.abort()
            raise ConnectionError("Redis answered another call.")
        return reply

    async def _open(self) -> SharedConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                handshake = self._pool.make_connection()
                await handshake.connect()
                self._connection = SharedConnection(handshake)
            return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()


_lines: WeakKeyDictionary[Redis, Line] = WeakKeyDictionary()


def get_line() -> Line:
    """The line of the running event loop, to where its client goes."""
    client = get_client()
    line = _lines.get(client)
    if line is None:
        line = _lines[client] = Line(client.connection_pool)
    return line


async def close() -> None:
    """Close all that this event loop has open to Redis."""
    line = _lines.pop(get_client(), None)
    if line is not None:
        line.close()
    await close_client()
