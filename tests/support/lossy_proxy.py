"""A proxy between a client and Redis that counts what passes, and can lose replies as a bad network does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

CHUNK = 1024 * 1024


class LossyProxy:
    """Listens on a unix socket. It loses every `lose_every`-th reply, and the connection with it."""

    def __init__(self, directory: Path, upstream: Path, *, lose_every: int = 0) -> None:
        self.socket_path = directory / "proxy.sock"
        self.url = f"unix://{self.socket_path}"
        self.requests = 0
        self.replies = 0
        self.lost = 0
        self._upstream = upstream
        self._lose_every = lose_every

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        while data := await reader.read(CHUNK):
            self.requests += 1
            writer.write(data)
            await writer.drain()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self.replies += 1
            if self._lose_every and self.replies % self._lose_every == 0:
                self.lost += 1
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def lossy_proxy(directory: Path, upstream: Path, *, lose_every: int = 0) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(directory, upstream, lose_every=lose_every)
    server = await asyncio.start_unix_server(proxy.serve, proxy.socket_path)
    yield proxy
    server.close()
