import asyncio
import errno
import hashlib
import os
import stat
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from media_store.storage import LocalStorage, get_storage
from media_store.storage.base import CHUNK_SIZE
from media_store.storage.local import KEYS_PER_STEP
from nanobanana.errors import ServiceUnavailable, StorageFull

BIG = os.urandom(2 * CHUNK_SIZE + 1000)

KEYS_THAT_ARE_NOT_OURS = (
    "",
    "/etc/passwd",
    "..",
    "../secret",
    "alice/../../secret",
    "alice/./one",
    "alice//one",
    "alice/",
    "alice/.draft",
    "alice\\one",
    "alice/one\0",
    "alice/one\n",
    "alice/обложка",
)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "media")


async def content(storage: LocalStorage, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in storage.open(key, start, length)])


async def keys(storage: LocalStorage, prefix: str = "") -> set[str]:
    return {key async for key in storage.list(prefix)}


def paths_below(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*")}


def fsync_that_raises(code: int) -> Callable[[int], None]:
    def fsync(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    return fsync


async def test_a_second_put_replaces_the_first(storage):
    await storage.put("alice/one/original", BIG)
    await storage.put("alice/one/original", b"picture")
    assert await content(storage, "alice/one/original") == b"picture"
    assert paths_below(storage.root) == {"alice", "alice/one", "alice/one/original"}


def test_a_reader_that_leaves_early_keeps_no_file_open(storage):
    opened_files = psutil.Process().open_files

    async def leave_early() -> None:
        await storage.put("alice/one/original", BIG)
        chunks = storage.open("alice/one/original")
        await anext(chunks)
        assert storage.root / "alice/one/original" in [Path(file.path) for file in opened_files()]
        await chunks.aclose()

    asyncio.run(leave_early())
    while storage.root / "alice/one/original" in [Path(file.path) for file in opened_files()]:
        time.sleep(0.01)  # the thread that read lets go of the file in its own time


async def test_deleting_removes_empty_directories_and_nothing_else(storage):
    await storage.put("alice/one/original", b"picture")
    await storage.put("alice/two/original", b"picture")
    await storage.delete("alice/one/original")
    assert paths_below(storage.root) == {"alice", "alice/two", "alice/two/original"}
    await storage.delete("alice/two/original")
    assert storage.root.is_dir()
    assert paths_below(storage.root) == set()


async def test_deleting_a_prefix_takes_one_user_whole_and_no_other(storage):
    for key in ("alice/one/original", "alice/one/thumb", "alice/two/original", "alice2/one/original"):
        await storage.put(key, b"picture")
    (storage.root / "alice/two/.interrupted").write_bytes(b"pict")
    await storage.delete_prefix("alice")
    assert paths_below(storage.root) == {"alice2", "alice2/one", "alice2/one/original"}


async def test_listing_goes_by_whole_segments_and_leaves_drafts_out(storage):
    for key in ("alice/one/original", "alice/one/thumb", "alice/two/original", "alice2/one/original"):
        await storage.put(key, b"picture")
    (storage.root / "alice/two/.interrupted").write_bytes(b"pict")
    assert await keys(storage, "alice/one") == {"alice/one/original", "alice/one/thumb"}
    assert await keys(storage, "alice") == {"alice/one/original", "alice/one/thumb", "alice/two/original"}
    assert len(await keys(storage)) == 4
    assert await keys(storage, "mallory") == set()


async def test_long_lists_are_complete(storage):
    directory = storage.root / "alice/one"
    directory.mkdir(parents=True)
    names = {f"variant-{number}" for number in range(2 * KEYS_PER_STEP + 1)}
    for name in names:
        (directory / name).touch()
    assert await keys(storage, "alice") == {f"alice/one/{name}" for name in names}


@pytest.mark.parametrize("key", KEYS_THAT_ARE_NOT_OURS)
async def test_a_key_that_is_not_ours_is_refused(storage, tmp_path, key):
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.put(key, b"picture")
    with pytest.raises(ValueError, match="not a storage key"):
        await content(storage, key)
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.stat(key)
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.delete(key)
    with pytest.raises(ValueError, match="not a storage key"):
        await storage.delete_prefix(key)
    assert paths_below(tmp_path) == {"secret"}


async def test_other_users_of_the_machine_cannot_read(storage):
    umask = os.umask(0)
    try:
        await storage.put("alice/one/original", b"picture")
    finally:
        os.umask(umask)
    modes = [
        stat.S_IMODE((storage.root / path).stat().st_mode)
        for path in ("", "alice", "alice/one", "alice/one/original")
    ]
    assert modes == [0o700, 0o700, 0o700, 0o600]


async def test_an_answered_put_is_on_disk_with_every_directory_it_made(storage, monkeypatch):
    synced = record_synced_inodes(monkeypatch)
    await storage.put("alice/one/original", b"picture")
    file = storage.root / "alice/one/original"
    assert synced == {path.stat().st_ino for path in (file, *islice(file.parents, 4))}


async def test_an_answered_delete_is_on_disk(storage, monkeypatch):
    await storage.put("alice/one/original", b"picture")
    await storage.put("alice/two/original", b"picture")
    synced = record_synced_inodes(monkeypatch)
    await storage.delete("alice/one/original")
    assert synced == {(storage.root / "alice").stat().st_ino}


def record_synced_inodes(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    synced: set[int] = set()
    fsync = os.fsync

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    return synced


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_said_and_the_old_object_stays(storage, monkeypatch, code):
    await storage.put("alice/one/original", b"picture")
    monkeypatch.setattr(os, "fsync", fsync_that_raises(code))
    with pytest.raises(StorageFull):
        await storage.put("alice/one/original", BIG)
    assert await content(storage, "alice/one/original") == b"picture"
    assert paths_below(storage.root) == {"alice", "alice/one", "alice/one/original"}


async def test_a_failing_disk_is_said_and_logged(storage, monkeypatch, caplog):
    await storage.put("alice/one/original", b"picture")
    monkeypatch.setattr(os, "fsync", fsync_that_raises(errno.EIO))
    with pytest.raises(ServiceUnavailable, match="storage"):
        await storage.put("alice/one/original", BIG)
    assert os.strerror(errno.EIO) in caplog.text


async def test_the_check_passes_before_anything_is_stored_and_leaves_nothing(storage):
    await storage.check()
    await storage.check()
    assert paths_below(storage.root) == set()


async def test_the_check_says_when_nothing_can_be_written(tmp_path):
    (tmp_path / "media").write_bytes(b"a file where the directory should be")
    storage = LocalStorage(tmp_path / "media")
    with pytest.raises(ServiceUnavailable):
        await storage.check()
    with pytest.raises(ServiceUnavailable):
        await storage.put("alice/one/original", b"picture")


async def test_neighbours_come_and_go_in_parallel(storage):
    async def come_and_go(number: int) -> None:
        key = f"alice/{number % 7}/variant-{number}"
        await storage.put(key, b"picture")
        assert await content(storage, key) == b"picture"
        await storage.delete(key)

    await asyncio.gather(*(come_and_go(number) for number in range(200)))
    assert paths_below(storage.root) == set()


async def test_puts_in_parallel_with_the_deletion_of_everything_succeed(storage):
    async def put(number: int) -> None:
        await storage.put(f"alice/{number % 7}/variant-{number}", b"picture")

    rounds = ((put(number), storage.delete_prefix("alice")) for number in range(100))
    await asyncio.gather(*(call for pair in rounds for call in pair))
    assert not [path for path in storage.root.rglob("*") if path.name.startswith(".")]
    await storage.delete_prefix("alice")
    assert paths_below(storage.root) == set()


async def test_one_key_written_by_many_holds_one_of_their_contents(storage):
    contents = [bytes([number]) * CHUNK_SIZE for number in range(20)]
    await asyncio.gather(*(storage.put("alice/one/original", data) for data in contents))
    assert await content(storage, "alice/one/original") in contents
    assert paths_below(storage.root) == {"alice", "alice/one", "alice/one/original"}


def test_it_works_while_every_other_thread_of_the_loop_is_busy(storage):
    released = threading.Event()

    async def put_and_read() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = loop.run_in_executor(None, released.wait)
        try:
            await storage.put("alice/one/original", b"picture")
            return await content(storage, "alice/one/original")
        finally:
            released.set()
            await blocked

    assert asyncio.run(put_and_read()) == b"picture"


WRITER = """
import asyncio, hashlib, itertools, pathlib, random, sys
from media_store.storage.local import LocalStorage

async def write_for_ever():
    storage = LocalStorage(pathlib.Path(sys.argv[1]))
    for number in itertools.count():
        data = random.randbytes(1_000_000)
        await storage.put(f"alice/{number}/{hashlib.sha256(data).hexdigest()}", data)
        print(f"alice/{number}/{hashlib.sha256(data).hexdigest()}", flush=True)

asyncio.run(write_for_ever())
"""


async def test_a_killed_process_leaves_every_answered_object_and_no_half_one(storage):
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(storage.root), stdout=PIPE, cwd=settings.BASE_DIR
    )
    assert writer.stdout
    answered = [await writer.stdout.readline() for _ in range(20)]
    writer.kill()
    answered += (await writer.stdout.read()).splitlines()
    await writer.wait()
    stored = await keys(storage)
    assert stored >= {line.decode().strip() for line in answered}
    for key in stored:
        assert hashlib.sha256(await content(storage, key)).hexdigest() == key.rpartition("/")[2]


def test_the_configured_storage_is_one_per_process():
    storage = get_storage()
    assert storage is get_storage()
    assert isinstance(storage, LocalStorage)
    assert storage.root == settings.MEDIA_DIR
