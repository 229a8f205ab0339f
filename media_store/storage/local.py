"""Objects as files below one directory, durable when answered and closed to other users of the machine."""

import asyncio
import errno
import hashlib
import logging
import os
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from media_store.storage.base import CHUNK_SIZE, ObjectNotFound, StorageUnavailable, checked
from nanobanana.errors import APIError, StorageFull

THREADS = 8  # most of a write is waiting for the disk
KEYS_PER_STEP = 1000
WRITE_ATTEMPTS = 100

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class LocalStorage:
    """The storage below `root`, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.description = f"the directory {self.root}"
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    async def put(self, key: str, data: bytes) -> None:
        await self._run(_insist, _write, self._path(key), data)

    async def receive(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep what comes under `key`, unless `chunks` raises; never more of it in memory than a chunk."""
        draft = await self._run(_insist, _Draft, self._path(key))
        try:
            async for chunk in chunks:
                await self._run(draft.write, chunk)
            await self._run(draft.keep)
        finally:
            self._threads.submit(draft.discard)

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        file, chunk = await self._run(_open_and_read, self._path(key), start, length)
        while chunk:
            yield chunk
            chunk = await self._run(file.read) if file.has_more else b""

    async def stat(self, key: str) -> int:
        return (await self._run(os.stat, self._path(key))).st_size

    async def sha256(self, key: str) -> str:
        return await self._run(_hash, self._path(key))

    async def presign(self, key: str, *, life: int, headers: Mapping[str, str]) -> None:
        return None  # who has a link to a file of this machine gets it through this server

    async def presign_put(self, key: str, *, size: int, mime: str, life: int) -> None:
        return None

    async def delete(self, key: str) -> None:
        await self._run(_delete, self._path(key), self.root)

    async def delete_prefix(self, prefix: str) -> None:
        await self._run(_delete_below, self._path(prefix), self.root)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        keys = _keys_below(self._path(prefix) if prefix else self.root, self.root)
        while step := await self._run(list, islice(keys, KEYS_PER_STEP)):
            for key in step:
                yield key

    async def unfinished(self, *, before: datetime, remove: bool) -> int:
        return await self._run(_drafts, self.root, before.timestamp(), remove)

    async def check(self) -> None:
        await self._run(_probe, self.root)

    def _path(self, key: str) -> Path:
        return self.root / checked(key)

    async def _run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call `function` in one of the storage's threads; the system's errors come out as ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except FileNotFoundError as error:
            raise ObjectNotFound from error
        except OSError as error:
            logger.error("The picture storage failed: %s", error)
            raise api_error(error) from error


def api_error(error: OSError) -> APIError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull()
    return StorageUnavailable(f"{error}: check the disk, and the owner and mode of the directory.")


class _OpenFile:
    """One reader's file; it closes when nobody holds it any more.

    Not sooner: the thread of a cancelled read goes on, and must not meet another file under this descriptor.
    """

    def __init__(self, path: Path, start: int, length: int | None) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        size = os.fstat(self._descriptor).st_size
        self._position = min(start, size)
        self._end = size if length is None else min(self._position + length, size)

    @property
    def has_more(self) -> bool:
        return self._position < self._end

    def read(self) -> bytes:
        chunk = os.pread(self._descriptor, min(CHUNK_SIZE, self._end - self._position), self._position)
        self._position += len(chunk)
        return chunk


def _open_and_read(path: Path, start: int, length: int | None) -> tuple[_OpenFile, bytes]:
    file = _OpenFile(path, start, length)
    return file, file.read()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Draft:
    """A file beside `path` that takes its place once it is whole. Its calls come from different threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _make_directory(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        self._file, self._name = os.fdopen(descriptor, "wb"), Path(name)
        self._turn = threading.Lock()  # a write whose caller was cancelled goes on in its thread

    def write(self, data: bytes) -> None:
        with self._turn:
            self._file.write(data)

    def keep(self) -> None:
        with self._turn:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._name.replace(self._path)
            _sync_directory(self._path.parent)

    def discard(self) -> None:
        """Close it; what was not kept is gone."""
        with self._turn:
            self._file.close()
            self._name.unlink(missing_ok=True)


def _insist(write: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Do it again when a neighbour's deletion removes the directory, or the draft in it, meanwhile."""
    for _ in range(WRITE_ATTEMPTS):
        with suppress(FileNotFoundError):
            return write(*arguments)
    raise OSError(errno.EBUSY, "The directory vanishes again and again")


def _write(path: Path, data: bytes) -> None:
    draft = _Draft(path)
    try:
        draft.write(data)
        draft.keep()
    finally:
        draft.discard()


def _make_directory(directory: Path) -> None:
    """Make `directory` and its missing parents; `mkdir(parents=True)` would leave those open to others."""
    with suppress(FileExistsError):
        try:
            directory.mkdir(0o700)
        except FileNotFoundError:
            _make_directory(directory.parent)
            directory.mkdir(0o700)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    """Put the directory's entries on disk; one that is gone meanwhile has none left to keep."""
    with suppress(FileNotFoundError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _delete(path: Path, root: Path) -> None:
    path.unlink(missing_ok=True)
    _remove_empty_directories(path.parent, root)


def _delete_below(directory: Path, root: Path) -> None:
    for parent, _, names in os.walk(directory, topdown=False, onerror=_raise_unless_gone):
        for name in names:
            Path(parent, name).unlink(missing_ok=True)
        _remove_if_empty(Path(parent))
    _remove_empty_directories(directory, root)


def _remove_empty_directories(directory: Path, root: Path) -> None:
    """Remove `directory` and its parents below `root` while they are empty, and sync the first that stays."""
    while directory != root and _remove_if_empty(directory):
        directory = directory.parent
    _sync_directory(directory)


def _remove_if_empty(directory: Path) -> bool:
    """Whether the directory is gone; the system keeps one that a write has just entered."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def _keys_below(directory: Path, root: Path) -> Iterator[str]:
    for parent, _, names in os.walk(directory, onerror=_raise_unless_gone):
        for name in names:
            if not name.startswith("."):  # a draft
                yield Path(parent, name).relative_to(root).as_posix()


def _drafts(root: Path, before: float, remove: bool) -> int:
    """How many files are no keys and were not written to since then; with `remove`, they are gone."""
    number = 0
    for parent, _, names in os.walk(root, onerror=_raise_unless_gone):
        for name in names:
            draft = Path(parent, name)
            with suppress(FileNotFoundError):
                if name.startswith(".") and draft.stat().st_mtime < before:
                    number += 1
                    if remove:
                        draft.unlink()
    return number


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _probe(root: Path) -> None:
    _make_directory(root)
    with tempfile.TemporaryFile(dir=root) as file:
        file.write(b"writable")
