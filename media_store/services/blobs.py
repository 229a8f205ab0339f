"""The bytes of pictures: written before a picture holds them, shared by content, removed when nothing does.

    planned ──► held ──► doomed ──► removed, and again an hour later
       └────────────────────▲

A blob is recorded before its first byte is written, and its id is given once. So whatever is found in the
storage has a record, or is about to go; and who removes bytes cannot meet somebody who writes the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from redis.exceptions import RedisError

from accounts.models import User
from media_store.managers import NOTES
from media_store.models import Blob, Image
from media_store.storage import StorageUnavailable, get_storage
from media_store.variants import ORIGINAL, THUMB
from nanobanana.errors import Conflict, TokenInvalid
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work

PLAN_LIFE = timedelta(hours=1)  # in which what is planned must be held; longer than any upload takes
LATER = timedelta(hours=1)  # when bytes are removed again: what was under way has arrived by then
STEP = 500  # removed at once
AT_ONCE = 8  # calls to the storage
PATIENCE = 0.4  # seconds that a request waits for a storage; the sweep removes what takes longer
TRIES = 5  # to share what others come to release meanwhile

logger = logging.getLogger(__name__)


class Content(Protocol):
    """An original, with its hash, and its thumbnail."""

    @property
    def original(self) -> bytes: ...

    @property
    def thumbnail(self) -> bytes: ...

    @property
    def sha256(self) -> str: ...


class NotShared(CommitRefused):
    """The blob cannot be held: it is gone, or another one with this content came first."""


async def keep(*, user: User, picture: Content, record: Callable[[Blob], Awaitable[None]]) -> None:
    """Have the bytes stored, unless the user has the same already; `record` commits who holds them.

    Its commit calls `hold`. When it fails, no bytes stay that nothing holds.
    """
    for _ in range(TRIES):
        found = await Blob.objects.find_stored(user.id, picture.sha256)
        try:
            await (_share(found, picture, record) if found else _write(user, picture, record))
        except NotShared:
            continue
        return
    raise Conflict


def hold(work: UnitOfWork, blob: Blob) -> None:
    """One more picture has these bytes, by this commit."""
    Blob.objects.hold(work, blob, NotShared(blob.key))


def release(work: UnitOfWork, images: Iterable[Image], *, due: datetime | None = None) -> None:
    """These pictures have their bytes no longer, by this commit: what nothing holds then goes, now or then.

    The caller notes it before (`note_release`) and removes the bytes after the commit.
    """
    Blob.objects.release(work, images, due=due or now())


async def note_release(user_id: str, *, due: datetime | None = None) -> None:
    """Have the sweep look for what is about to be released, should this process end before it is removed."""
    await NOTES.note(user_id, due or now())


def prefix_of(user_id: str, blob_id: str) -> str:
    """What the storage keys of a blob start with."""
    return f"{user_id}/{blob_id}"


def storage_key(image: Image, variant: str) -> str:
    return f"{prefix_of(image.owner_id, image.blob_id)}/{variant}"


async def remove_doomed(*, user_id: str) -> int:
    """Remove the bytes that are due, of a user, also those that others left behind; how many blobs it was."""
    removed = 0
    while doomed := await Blob.objects.doomed(user_id, until=now(), limit=STEP):
        await _remove(user_id, [blob_id for blob_id, _ in doomed])
        await Blob.objects.forget_doomed(user_id, [blob_id for blob_id, again in doomed if again])
        await _postpone(user_id, [blob_id for blob_id, again in doomed if not again])
        removed += len(doomed)
    return removed


async def remove_released(*, user_id: str, images: Sequence[Image]) -> None:
    """Remove the bytes of these pictures that nothing holds now; the sweep removes what cannot be."""
    blob_ids = [image.blob_id for image in images]
    blob_ids += [image.former_blob_id for image in images if image.former_blob_id]
    await _remove_those_doomed(user_id, blob_ids)


async def remove_everything(*, user_id: str) -> None:
    """Remove all bytes of a deleted account, which has no pictures any more, with what is known of them."""
    while planned := await Blob.objects.planned_ids(user_id, before=now(), limit=STEP):
        page = await Blob.objects.aget_many(user_id, planned)
        async with unit_of_work(user_id) as work:
            for blob in page.objects:
                Blob.objects.discard(work, blob)
    await get_storage().delete_prefix(user_id)
    await Blob.objects.forget_all_doomed(user_id)


def plans_end() -> datetime:
    """What was planned before that, and is not held, was given up."""
    return now() - PLAN_LIFE


async def discard(blob: Blob) -> None:
    """Remove bytes that came to nothing, unless a commit was done of which only the answer was lost.

    What cannot be removed now, the sweep finds: the record is still there, or else the mark that they go.
    """
    try:
        await _doom(blob)
        await _remove_those_doomed(blob.owner_id, [blob.id])
    except CommitRefused:
        return
    except DoesNotExist:  # somebody doomed it before the bytes were there
        await _remove_soon(blob.owner_id, [blob.id])
    except (RedisError, OSError) as error:
        logger.warning("Bytes below %s may stay for an hour: %s", prefix_of(blob.owner_id, blob.id), error)


def lend_place(work: UnitOfWork, place_id: str, *, until: datetime) -> None:
    """Let others write below an id that is no blob's, by this commit, until then; noted as a release is."""
    Blob.objects.doom_id(work, place_id, until)


async def clear_place(*, user_id: str, place_id: str) -> None:
    """Remove what is there by now; what still comes goes when the place is no longer lent."""
    await _remove_soon(user_id, [place_id])


async def remove_if_gone(*, user_id: str, blob_id: str) -> None:
    """Remove what was written below a blob that was removed meanwhile."""
    try:
        await Blob.objects.aget(user_id, blob_id)
    except DoesNotExist:
        await _remove_soon(user_id, [blob_id])


async def _share(blob: Blob, picture: Content, record: Callable[[Blob], Awaitable[None]]) -> None:
    if not blob.thumb_size:  # the others that have these bytes are being processed
        await _put(f"{prefix_of(blob.owner_id, blob.id)}/{THUMB}", picture.thumbnail)
    await record(blob)


async def _put(key: str, content: bytes) -> None:
    if content:
        await get_storage().put(key, content)


async def _write(user: User, picture: Content, record: Callable[[Blob], Awaitable[None]]) -> None:
    blob = await _plan(user, picture)
    planned = Blob(**blob.__dict__)
    try:
        prefix = prefix_of(user.id, blob.id)
        await _put(f"{prefix}/{ORIGINAL}", picture.original)
        await _put(f"{prefix}/{THUMB}", picture.thumbnail)
        await record(blob)
    except Exception:
        await discard(planned)
        raise
    if blob.id != planned.id:  # a repeated request, answered with the picture of the first
        await discard(planned)


async def _plan(user: User, picture: Content) -> Blob:
    blob = Blob(
        user.id,
        new_id(),
        sha256=picture.sha256,
        size=len(picture.original),
        thumb_size=len(picture.thumbnail),
    )
    await NOTES.note(user.id, now() + PLAN_LIFE)
    async with unit_of_work(user.id) as work:
        work.expect_exists(user, TokenInvalid())
        Blob.objects.create(work, blob)
    return blob


async def _doom(blob: Blob) -> None:
    async with unit_of_work(blob.owner_id) as work:
        Blob.objects.abandon(work, blob, due=now())


async def _remove_those_doomed(user_id: str, blob_ids: Sequence[str]) -> None:
    doomed = await Blob.objects.doomed_among(user_id, blob_ids)
    if doomed and await _remove_soon(user_id, doomed):
        await _postpone(user_id, doomed)


async def _remove_soon(user_id: str, blob_ids: Sequence[str]) -> bool:
    """Whether the bytes are removed; who waits for it is not held up by a storage that is away."""
    try:
        async with asyncio.timeout(PATIENCE):
            await _remove(user_id, blob_ids)
    except (StorageUnavailable, TimeoutError):
        places = ", ".join(prefix_of(user_id, blob_id) for blob_id in blob_ids)
        logger.warning("What is below %s is removed later: the storage is away.", places)
        return False
    return True


async def _remove(user_id: str, blob_ids: Sequence[str]) -> None:
    storage, turns = get_storage(), asyncio.Semaphore(AT_ONCE)

    async def remove(blob_id: str) -> None:
        async with turns:
            await storage.delete_prefix(prefix_of(user_id, blob_id))

    await asyncio.gather(*map(remove, blob_ids))


async def _postpone(user_id: str, blob_ids: Sequence[str]) -> None:
    """They are removed; once more later, for what a write that was given up, or a variant, brings."""
    await Blob.objects.postpone_doomed(user_id, blob_ids, until=now() + LATER)
