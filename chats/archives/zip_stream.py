"""A zip file that is written while it is sent: in memory there is only what was not taken yet.

The standard library writes to a file that cannot seek, so sizes stand behind the entries, and all of them are
zip64. Compressing takes its time, so each step runs in a thread.
"""

from collections.abc import AsyncIterator, Callable
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from nanobanana.pools import BoundedPool
from nanobanana.redisdb.fields import now

pool = BoundedPool("archives", threads=2, waiting=200)


class _Sink:
    """Where the zip file is written to: bytes wait here until they are taken."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._waiting.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        taken, self._waiting = self._waiting, []
        return b"".join(taken)


class ZipStream:
    """The bytes of a zip file come out of `add`, entry by entry, and in the end out of `close`."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w")  # type: ignore[call-overload]  # it needs no more of a file

    async def add(
        self, name: str, chunks: AsyncIterator[bytes], *, compressed: bool = True
    ) -> AsyncIterator[bytes]:
        """Write an entry of these chunks; what is compressed already need not be again."""
        info = ZipInfo(name, now().timetuple()[:6])
        info.compress_type = ZIP_DEFLATED if compressed else ZIP_STORED
        with self._zip.open(info, "w", force_zip64=True) as entry:
            async for chunk in chunks:
                yield await self._step(entry.write, chunk)
        yield self._sink.take()

    async def close(self) -> bytes:
        """The table of contents: until here the file cannot be opened."""
        return await self._step(self._zip.close)

    async def _step(self, write: Callable[..., object], *arguments: object) -> bytes:
        await pool.run(write, *arguments)
        return self._sink.take()
