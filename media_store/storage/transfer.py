"""Copying everything from one storage to another, while the server runs; nothing is deleted from the first.

Objects never change, so one that is there with the right size and hash needs no second copy: who runs this
again goes on where it stopped, and copies what has come since.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from media_store.storage.base import ObjectNotFound, Storage
from media_store.storage.cloud import hash_of
from media_store.storage.parallel import for_each

AT_ONCE = 8  # objects, each of them in memory


@dataclass
class Transfer:
    """What was done, in objects and bytes; with `is_rehearsal`, what would be."""

    source: Storage
    target: Storage
    is_rehearsal: bool = False
    copied: int = 0
    copied_bytes: int = 0
    skipped: int = 0
    vanished: int = 0  # deleted by their owner meanwhile
    failed: list[str] = field(default_factory=list)  # came back other than they were written

    async def run(self, advance: Callable[[int], None]) -> None:
        """Copy all objects. Raises StorageUnavailable or StorageFull as soon as a storage does."""

        async def copy(key: str) -> None:
            try:
                await self._copy(key)
            except ObjectNotFound:
                self.vanished += 1
            advance(1)

        await for_each(self.source.list(), copy, at_once=AT_ONCE)

    async def _copy(self, key: str) -> None:
        size, sha256 = await self.source.stat(key), await self.source.sha256(key)
        if await self._has(key, size, sha256):
            self.skipped += 1
            return
        if not self.is_rehearsal:
            data = b"".join([chunk async for chunk in self.source.open(key)])
            await self.target.put(key, data)
            if not await self._came_whole(key, sha256):
                self.failed.append(key)
                return
        self.copied += 1
        self.copied_bytes += size

    async def _has(self, key: str, size: int, sha256: str) -> bool:
        try:
            return await self.target.stat(key) == size and await self.target.sha256(key) == sha256
        except ObjectNotFound:
            return False

    async def _came_whole(self, key: str, sha256: str) -> bool:
        """What the target noted was ours to say: read what it has."""
        try:
            return await hash_of(self.target.open(key)) == sha256
        except ObjectNotFound:
            return False


async def count(storage: Storage) -> int:
    """How many objects there are."""
    number = 0
    async for _ in storage.list():
        number += 1
    return number
