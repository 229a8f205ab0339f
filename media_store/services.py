"""What can be done with pictures: the only writer of records and bytes, and the only one to tell of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import BinaryIO

from django.conf import settings

from accounts.models import User
from accounts.services.access import changes_of
from media_store.imaging import PreparedPicture, prepare
from media_store.models import Image, Usage
from media_store.quotas import expect_room, require_room, told_what_is_used
from media_store.storage import StorageUnavailable, get_storage
from media_store.variants import ORIGINAL, THUMB
from nanobanana.errors import APIError, Conflict, ImageInUse, NotFound, PayloadTooLarge
from nanobanana.events import ImageCreated, ImageDeleted
from nanobanana.exception_handler import translate
from nanobanana.pools import BoundedPool
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, unit_of_work, was_committed

CLEANED_AT_ONCE = 100
DISCARD_PATIENCE = 5  # seconds
STEP = 500  # records removed at once
TRIES = 10  # to remove pictures that messages come to show meanwhile
WAITING = 100  # pictures in line in one process
Settling = Callable[[UnitOfWork, Image], None]

NO_IMAGE = "There is no such image."
NO_SESSION = "There is no such session."

logger = logging.getLogger(__name__)
_pool = BoundedPool("imaging", waiting=WAITING)


@dataclass(frozen=True)
class Upload:
    """A file as it came; the name is only good for telling the client which file is meant."""

    filename: str
    size: int
    file: BinaryIO


@dataclass(frozen=True)
class Outcome:
    """What became of one file of a batch: an image or an error."""

    filename: str
    image: Image | None = None
    error: APIError | None = None


async def get_image(*, user: User, image_id: str) -> Image:
    """The user's picture; NotFound when it is absent or somebody else's."""
    try:
        return await Image.objects.aget(user.id, image_id)
    except DoesNotExist as error:
        raise NotFound(NO_IMAGE) from error


async def list_images(*, user: User, window: Window) -> Page[Image]:
    return await Image.objects.alist(user.id, window)


async def list_session_images(
    *, user: User, session_id: str, type: str | None, window: Window
) -> Page[Image]:
    try:
        return await Image.objects.alist_of_session(user.id, session_id, type, window)
    except DoesNotExist as error:
        raise NotFound(NO_SESSION) from error


async def upload_image(
    *,
    user: User,
    session_id: str,
    type: str,
    upload: Upload,
    operation: Operation | None = None,
    settle: Settling = lambda work, image: None,
) -> Image:
    """Store a picture with its thumbnail: bytes first, then the record, which so never lacks them.

    `settle` adds to the commit what goes along with it.
    """
    require_size(upload.size)
    await require_session(user=user, session_id=session_id)
    await require_room(user=user, size=upload.size, operation=operation)
    picture = await _pool.run(prepare, upload.file)
    image = _new_image(user, session_id, type, picture)
    # A client that leaves does not stop what has begun: bytes and record come together or not at all.
    commit = partial(_commit, user, image, operation, settle)
    return await asyncio.shield(asyncio.ensure_future(_store(user, image, picture, commit)))


async def upload_images(
    *, user: User, session_id: str, type: str, uploads: Sequence[Upload], operation: Operation | None = None
) -> list[Outcome]:
    """Store several pictures; one that fails does not stop the others, and each can be repeated by itself."""
    await require_session(user=user, session_id=session_id)
    operations = [
        operation and replace(operation, id=f"{operation.id}:{number}") for number in range(len(uploads))
    ]
    attempts = zip(uploads, operations, strict=True)
    return await asyncio.gather(*[_attempt(user, session_id, type, *attempt) for attempt in attempts])


async def import_image(
    *,
    user: User,
    session_id: str,
    type: str,
    upload: Upload,
    created_at: datetime,
    expect: Callable[[UnitOfWork], None],
) -> Image:
    """Store a picture of that time for a session that nobody sees yet, whose existence `expect` checks.

    Nobody is told, and no list has it, until `enlist`; `remove_imported` takes it back.
    """
    await require_room(user=user, size=upload.size)
    picture = await _pool.run(prepare, upload.file)
    image = _new_image(user, session_id, type, picture, at=created_at)
    commit = partial(_commit_unlisted, user, image, expect)
    return await asyncio.shield(asyncio.ensure_future(_store(user, image, picture, commit)))


def enlist(work: UnitOfWork, images: Iterable[Image]) -> None:
    """Have imported pictures stand in the list of all pictures, in the commit that shows their session."""
    for image in images:
        Image.objects.enlist(work, image)


async def remove_imported(*, user: User, images: Sequence[Image]) -> None:
    """Remove those of these pictures that are still there and that no message shows."""
    for start in range(0, len(images), STEP):
        ids = [image.id for image in images[start : start + STEP]]
        page = await Image.objects.aget_many(user.id, ids)
        await _discard_for_good(user.id, [image for image in page.objects if image.ref_count == 0])
    await _remove_files(user.id)


def require_size(size: int) -> None:
    if size > settings.MAX_FILE_SIZE:
        raise PayloadTooLarge(f"A picture may have at most {settings.MAX_FILE_SIZE} bytes.")


async def require_session(*, user: User, session_id: str) -> None:
    """Fail before the work, not after it; the commit asks again."""
    await list_session_images(user=user, session_id=session_id, type=None, window=Window(limit=1))


def expect_session(work: UnitOfWork, session_id: str) -> None:
    work.expect_exists(Image.objects.session_key(work.owner_id, session_id), NotFound(NO_SESSION))


async def delete_image(*, user: User, image_id: str, operation: Operation | None = None) -> None:
    """Delete a picture that no message shows; ImageInUse when one does."""
    if not await was_committed(user.id, operation):
        await _delete_record(user, image_id, operation)
    await get_storage().delete_prefix(image_prefix(user.id, image_id))


async def clean_up(*, user: User) -> list[Outcome]:
    """Delete pictures that no message has shown for the grace period; a bounded number at a time."""
    before = milliseconds(now() - timedelta(seconds=settings.CLEANUP_GRACE))
    image_ids = await Image.objects.unreferenced_ids(user.id, before=before, limit=CLEANED_AT_ONCE)
    return [await _attempt_deletion(user, image_id) for image_id in image_ids]


async def remove_unshown(*, user_id: str, session_id: str) -> None:
    """Remove the pictures of a session that no message shows, in bounded steps that can be repeated.

    Nobody is told, for whose session it is. Pictures that messages of other sessions show stay as they are.
    """
    window: Window | None = Window(limit=STEP)
    while window:
        window = await _remove_unshown_of(user_id, session_id, window)
        await _remove_files(user_id)


async def remove_everything(*, user_id: str, **_: object) -> None:
    """Remove a deleted account's pictures, in bounded steps that can be repeated."""
    await get_storage().delete_prefix(user_id)
    while image_ids := await Image.objects.ids(user_id, "images", first=0, limit=STEP):
        page = await Image.objects.aget_many(user_id, image_ids)
        async with unit_of_work(user_id) as work:
            for image in page.objects:
                Image.objects.discard(work, image)
            Image.objects.remove_ids(work, "images", image_ids)
    async with unit_of_work(user_id) as work:
        work.write("delete", Usage(user_id, user_id).key)
    await _remove_files(user_id)
    await get_storage().delete_prefix(user_id)  # a variant may have been made meanwhile


async def _remove_unshown_of(user_id: str, session_id: str, window: Window) -> Window | None:
    """One step; again when a message came to show one of the pictures meanwhile. The next window, or None."""
    for _ in range(TRIES):
        page = await Image.objects.apage_of_session(user_id, session_id, window)
        unshown = [image for image in page.objects if image.ref_count == 0]
        try:
            await _discard_for_good(user_id, unshown)
        except CommitRefused:
            continue
        last = page.objects[-1] if page.objects else None
        if not last or not page.has_more:
            return None
        return Window(limit=STEP, behind=(str(milliseconds(last.created_at)), last.id))
    raise Conflict


async def _discard_for_good(user_id: str, images: list[Image]) -> None:
    if not images:
        return
    async with unit_of_work(user_id) as work:
        for image in images:
            work.expect_equal(image, "ref_count")
            Image.objects.discard_for_good(work, image)


async def _remove_files(user_id: str) -> None:
    """Remove the files of pictures that are gone, also those that an earlier try left behind."""
    while image_ids := await Image.objects.removed_ids(user_id, limit=STEP):
        for image_id in image_ids:
            await get_storage().delete_prefix(image_prefix(user_id, image_id))
        await Image.objects.forget_removed(user_id, image_ids)


async def discard_bytes(user_id: str, image_id: str) -> None:
    """Remove the bytes of a picture without a record: of a failed upload, or of one that was just deleted.

    When the commit of an upload was done and only the answer to it was lost, they stay. A storage that is
    away keeps them; the client, who waits to be told of that, is not held up by them.
    """
    try:
        await Image.objects.aget(user_id, image_id)
    except DoesNotExist:
        prefix = image_prefix(user_id, image_id)
        try:
            async with asyncio.timeout(DISCARD_PATIENCE):
                await get_storage().delete_prefix(prefix)
        except (StorageUnavailable, TimeoutError):
            logger.warning("Bytes without a record stay below %s: the storage is away.", prefix)


def image_prefix(user_id: str, image_id: str) -> str:
    """What the storage keys of a picture's files start with."""
    return f"{user_id}/{image_id}"


def storage_key(user_id: str, image_id: str, variant: str) -> str:
    return f"{image_prefix(user_id, image_id)}/{variant}"



def _new_image(
    user: User, session_id: str, type: str, picture: PreparedPicture, *, at: datetime | None = None
) -> Image:
    identifier = new_id(at=at)
    moment = time_of(identifier)
    return Image(
        user.id,
        identifier,
        session_id=session_id,
        type=type,
        mime=picture.info.mime,
        width=picture.info.width,
        height=picture.info.height,
        size=len(picture.original),
        thumb_size=len(picture.thumbnail),
        sha256=picture.sha256,
        shows_in_browsers=picture.info.shows_in_browsers,
        blurhash=picture.blurhash,
        colour=picture.colour,
        created_at=moment,
        updated_at=moment,
    )


async def _delete_record(user: User, image_id: str, operation: Operation | None) -> None:
    image = await get_image(user=user, image_id=image_id)
    image.__dict__.update(ref_count=0)
    async with changes_of(user, operation) as work:
        work.expect_exists(image, NotFound(NO_IMAGE))
        work.expect_equal(image, "ref_count", ImageInUse())
        Image.objects.delete(work, image)
        work.emit(ImageDeleted(session_id=image.session_id, image_id=image.id))


async def _store(
    user: User, image: Image, picture: PreparedPicture, commit: Callable[[], Awaitable[None]]
) -> Image:
    planned = image.id
    storage = get_storage()
    try:
        await storage.put(storage_key(user.id, planned, ORIGINAL), picture.original)
        await storage.put(storage_key(user.id, planned, THUMB), picture.thumbnail)
        await commit()
    except Exception:
        await discard_bytes(user.id, planned)
        raise
    if image.id != planned:  # a repeated request, answered with the picture of the first
        await storage.delete_prefix(image_prefix(user.id, planned))
    return image


async def _commit(user: User, image: Image, operation: Operation | None, settle: Settling) -> None:
    async with told_what_is_used(user, image.size), changes_of(user, operation) as work:
        expect_session(work, image.session_id)
        settle(work, image)
        expect_room(work, image)
        Image.objects.create(work, image)
        work.emit(ImageCreated(session_id=image.session_id, image_id=image.id), image)


async def _commit_unlisted(user: User, image: Image, expect: Callable[[UnitOfWork], None]) -> None:
    async with told_what_is_used(user, image.size), changes_of(user) as work:
        expect(work)
        expect_room(work, image)
        Image.objects.create_unlisted(work, image)


async def _attempt(
    user: User, session_id: str, type: str, upload: Upload, operation: Operation | None
) -> Outcome:
    try:
        image = await upload_image(
            user=user, session_id=session_id, type=type, upload=upload, operation=operation
        )
    except Exception as error:
        return Outcome(upload.filename, error=translate(error))
    return Outcome(upload.filename, image=image)


async def _attempt_deletion(user: User, image_id: str) -> Outcome:
    try:
        await delete_image(user=user, image_id=image_id)
    except Exception as error:
        return Outcome(image_id, error=translate(error))
    return Outcome(image_id)
