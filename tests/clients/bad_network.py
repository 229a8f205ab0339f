"""A proxy between a client and the server: it cuts connections, refuses sockets and loses answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 65536
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BadNetwork:
    """Knows HTTP just so far as to see where a connection's first request goes."""

    def __init__(self, upstream: int) -> None:
        self.url = ""
        self.requests: list[bytes] = []  # the heads of all that passed
        self.sockets = 0  # that are open now
        self.refuses_sockets = False
        self.is_mute = False  # what the server says gets lost, but the connection stays
        self.answers_to_lose = 0  # of those to come: the request arrives, the answer does not
        self._upstream = upstream
        self._connections: set[asyncio.Task[None]] = set()
        self._sockets: set[asyncio.Task[None]] = set()

    def cut(self) -> int:
        """Cut every socket, in the middle of whatever it says; returns how many there were."""
        for connection in tuple(self._sockets):
            connection.cancel()
        return len(self._sockets)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._pass_on(reader, writer))
        self._connections.add(connection)
        try:
            await asyncio.wait([connection])
        finally:
            connection.cancel()
            self._connections.discard(connection)
            self._sockets.discard(connection)
            writer.transport.abort()

    async def close(self) -> None:
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.sleep(0)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(CHUNK)
        is_socket = b"upgrade: websocket" in head.lower()
        if is_socket and self.refuses_sockets:
            writer.write(REFUSAL)
            await writer.drain()
            return
        if is_socket:
            self._sockets.add(asyncio.current_task())  # type: ignore[arg-type]
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(head, reader, to_server))
                both.create_task(self._answers(from_server, writer))
        except* (ConnectionError, EOFError):
            pass
        finally:
            to_server.transport.abort()

    async def _requests(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while head:
            self.requests.append(head)
            writer.write(head)
            await writer.drain()
            head = await reader.read(CHUNK)
        raise EOFError

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self.answers_to_lose:
                self.answers_to_lose -= 1
                raise EOFError
            if not self.is_mute:
                writer.write(data)
                await writer.drain()
        raise EOFError


@asynccontextmanager
async def bad_network(upstream: int) -> AsyncIterator[BadNetwork]:
    network = BadNetwork(upstream)
    server = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    network.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield network
    finally:
        server.close()
        await network.close()
