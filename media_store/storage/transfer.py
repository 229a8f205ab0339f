"""Copying everything from one storage to another, while the server runs; nothing is deleted from the first.

Objects never change, so one that is there with the right size and hash needs no second copy: who runs this
again goes on where it stopped, and copies what has come since.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from media_store.storage.base import ObjectNotFound, Storage
from media_store.storage.cloud import hash_of

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
        keys, turn = self.source.list(), asyncio.Lock()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._copy_while_there_are(keys, turn, advance))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _copy_while_there_are(
        self, keys: AsyncIterator[str], turn: asyncio.Lock, advance: Callable[[int], None]
    ) -> None:
        while key := await _next(keys, turn):
            try:
                await self._copy(key)
            except ObjectNotFound:
                self.vanished += 1
            advance(1)

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


async def _next(keys: AsyncIterator[str], turn: asyncio.Lock) -> str | None:
    async with turn:  # one iterator cannot be asked twice at once
        return await anext(keys, None)
