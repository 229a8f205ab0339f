"""A proxy between a client and Redis that counts what passes, loses replies, is late, silent or not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hiredis import ProtocolError, Reader

CHUNK = 1024 * 1024


class LossyProxy:
    """Listens on a unix socket. It loses every `lose_every`-th reply, and the connection with it.

    With `keep_connection` it goes on as if nothing had been: the worst that can happen to an order.
    """

    def __init__(
        self, directory: Path, upstream: Path, *, lose_every: int = 0, keep_connection: bool = False
    ) -> None:
        self.socket_path = directory / "proxy.sock"
        self.url = f"unix://{self.socket_path}"
        self.requests = 0
        self.replies = 0
        self.lost = 0
        self._upstream = upstream
        self.lose_every = lose_every
        self._keep_connection = keep_connection
        self.seconds_late = 0.0  # of each reply; those on their way do not wait for each other
        self.is_silent = False  # what is asked goes nowhere, and connections are taken
        self._connections: set[asyncio.StreamWriter] = set()
        self._is_away = False

    @property
    def connections(self) -> int:
        """How many are open to it."""
        return len(self._connections)

    def go_away(self) -> None:
        """Cut all connections, and refuse new ones until it comes back."""
        self._is_away = True
        for connection in self._connections:
            connection.transport.abort()

    def heal(self) -> None:
        self.seconds_late, self.is_silent, self._is_away = 0.0, False, False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_away:
            return writer.transport.abort()
        self._connections.add(writer)
        try:
            await self._pass_on(reader, writer)
        finally:
            self._connections.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_unix_connection(self._upstream)
        directions = [
            asyncio.create_task(self._pass_requests(reader, to_redis)),
            asyncio.create_task(self._pass_replies(from_redis, writer)),
        ]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        for end in (writer, to_redis):
            end.transport.abort()

    async def _pass_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read_whole(reader):
            self.requests += 1
            if self.is_silent:
                continue
            writer.write(data)
            await writer.drain()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read_whole(reader):
            self.replies += 1
            if self.seconds_late:
                asyncio.get_running_loop().call_later(self.seconds_late, writer.write, data)
                continue
            if not self.lose_every or self.replies % self.lose_every:
                writer.write(data)
                await writer.drain()
                continue
            self.lost += 1
            if not self._keep_connection:
                return


async def _read_whole(reader: asyncio.StreamReader) -> bytes:
    """One request or reply, or several that arrived together; b"" at the end."""
    messages = b""
    while data := await reader.read(CHUNK):
        messages += data
        if _are_whole(messages):
            return messages
    return b""


def _are_whole(messages: bytes) -> bool:
    """Whether no part is missing: then what is put behind them is a message of its own."""
    parser = Reader()
    parser.feed(messages + b"+the end\r\n")
    last = None
    try:
        while (message := parser.gets()) is not False:
            last = message
    except ProtocolError:  # cut off inside a line
        return False
    return last == b"the end"


@asynccontextmanager
async def lossy_proxy(
    directory: Path, upstream: Path, *, lose_every: int = 0, keep_connection: bool = False
) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(directory, upstream, lose_every=lose_every, keep_connection=keep_connection)
    server = await asyncio.start_unix_server(proxy.serve, proxy.socket_path)
    try:
        yield proxy
    finally:
        server.close()
