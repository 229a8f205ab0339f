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
from media_store import clamav, decoding
from media_store.models import Blob, DirectUpload, Image, Usage
from media_store.pictures import PreparedPicture
from media_store.quotas import expect_room, require_room, told_what_is_used
from media_store.services import blobs, compression, processing
from nanobanana.errors import APIError, Conflict, ImageInUse, NotFound, PayloadTooLarge
from nanobanana.events import ImageCreated, ImageDeleted
from nanobanana.exception_handler import translate
from nanobanana.metrics import OTHER, UPLOADED_BYTES, UPLOADS, counted
from nanobanana.pools import Line
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, unit_of_work, was_committed

CLEANED_AT_ONCE = 100
STEP = 500  # records removed at once
WAITING = 100  # uploads in line in one process
TRIES = 10  # to remove pictures that messages come to show meanwhile
Settling = Callable[[UnitOfWork, Image], None]

COUNTED_TYPES = {"uploaded", "generated"}  # by name, in metrics
NO_IMAGE = "There is no such image."
NO_SESSION = "There is no such session."

# Files wait on disk for their turn to be in memory: while they are looked at, and until they are stored.
_in_memory = Line(max(4, 2 * settings.DECODERS), waiting=WAITING)

logger = logging.getLogger(__name__)


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
    label = type if type in COUNTED_TYPES else OTHER
    with counted(UPLOADS, type=label):
        image = await _upload_image(user, session_id, type, upload, operation, settle)
    UPLOADED_BYTES.labels(label).inc(upload.size)
    return image


async def _upload_image(
    user: User, session_id: str, type: str, upload: Upload, operation: Operation | None, settle: Settling
) -> Image:
    require_size(upload.size)
    await require_session(user=user, session_id=session_id)
    await require_room(user=user, operation=operation)
    is_large = upload.size > settings.PROCESS_IN_BACKGROUND_ABOVE
    if is_large:
        await processing.announce(user.id)
    async with _in_memory.turn():
        looking = _clean(upload) if is_large else _prepare(upload)
        picture, _ = await asyncio.gather(looking, compression.announce(user.id))
        image = _new_image(user, session_id, type, picture)
        image.compressible = compression.is_compressible(image.mime)
        await _store(user, image, picture, partial(_commit, user, image, operation, settle))
    if image.is_processing:
        await processing.prepare_picture.enqueue_or_leave(user_id=user.id, image_id=image.id)
    return image


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
    await require_room(user=user)
    picture = await _prepare(upload)
    image = _new_image(user, session_id, type, picture, at=created_at)
    return await _store(user, image, picture, partial(_commit_unlisted, user, image, expect))


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
    await blobs.remove_doomed(user_id=user.id)


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
    if await was_committed(user.id, operation):
        return
    await blobs.note_release(user.id)
    image = await _delete_record(user, image_id, operation)
    await blobs.remove_released(user_id=user.id, images=[image])


async def clean_up(*, user: User) -> list[Outcome]:
    """Delete pictures that no message has shown for the grace period; a bounded number at a time."""
    image_ids = await unused_ids(user_id=user.id, limit=CLEANED_AT_ONCE)
    return [await _attempt_deletion(user, image_id) for image_id in image_ids]


async def unused_ids(*, user_id: str, limit: int) -> list[str]:
    """Pictures that no message has shown for the grace period."""
    before = milliseconds(now() - timedelta(seconds=settings.CLEANUP_GRACE))
    return await Image.objects.unreferenced_ids(user_id, before=before, limit=limit)


async def remove_unshown(*, user_id: str, session_id: str) -> None:
    """Remove the pictures of a session that no message shows, in bounded steps that can be repeated.

    Nobody is told, for whose session it is. Pictures that messages of other sessions show stay as they are.
    """
    await blobs.note_release(user_id)
    window: Window | None = Window(limit=STEP)
    while window:
        window = await _remove_unshown_of(user_id, session_id, window)
        await blobs.remove_doomed(user_id=user_id)


async def remove_everything(*, user_id: str, **_: object) -> None:
    """Remove a deleted account's pictures, in bounded steps that can be repeated; the sweep does it again."""
    await blobs.note_release(user_id, due=now() + blobs.LATER)
    await remove_what_is_left(user_id=user_id)


async def remove_what_is_left(*, user_id: str) -> None:
    await _remove_all_in(user_id, "images")
    await DirectUpload.objects.forget_all(user_id)
    async with unit_of_work(user_id) as work:
        work.write("delete", Usage(user_id, user_id).key)
    await blobs.remove_everything(user_id=user_id)


async def remove_of_session(*, user_id: str, session_id: str) -> None:
    """Remove what a session of a deleted account has and no list, for it was being imported."""
    if await _remove_all_in(user_id, Image.objects.index_of_session(session_id)):
        await blobs.remove_everything(user_id=user_id)


async def _remove_all_in(user_id: str, index: str) -> bool:
    """Remove the pictures that an index lists; whether there were any."""
    found = False
    while image_ids := await Image.objects.ids(user_id, index, first=0, limit=STEP):
        page = await Image.objects.aget_many(user_id, image_ids)
        async with unit_of_work(user_id) as work:
            for image in page.objects:
                Image.objects.discard(work, image)
            blobs.release(work, page.objects)
            Image.objects.remove_ids(work, index, image_ids)
        found = True
    return found


async def _remove_unshown_of(user_id: str, session_id: str, window: Window) -> Window | None:
    """One step; again when a message came to show one of the pictures meanwhile. The next window, or None."""
    for _ in range(TRIES):
        page = await Image.objects.apage_of_session(user_id, session_id, window)
        unshown = [image for image in page.objects if image.ref_count == 0]
        kept = [image for image in page.objects if image.ref_count > 0]
        try:
            await _discard_for_good(user_id, unshown, kept)
        except CommitRefused:
            continue
        last = page.objects[-1] if page.objects else None
        if not last or not page.has_more:
            return None
        return Window(limit=STEP, behind=(str(milliseconds(last.created_at)), last.id))
    raise Conflict


async def _discard_for_good(user_id: str, images: list[Image], kept: Sequence[Image] = ()) -> None:
    """Discard pictures; those that are kept stand in the list of all, also if they were a draft's."""
    if not images and not kept:
        return
    async with unit_of_work(user_id) as work:
        for image in kept:
            work.expect_exists(image)
        enlist(work, kept)
        for image in images:
            work.expect_equal(image, "ref_count")
            Image.objects.discard_for_good(work, image)
        blobs.release(work, images)


async def _prepare(upload: Upload) -> PreparedPicture:
    await clamav.scan(upload.file)
    return await decoding.prepare(upload.file)


async def _clean(upload: Upload) -> PreparedPicture:
    await clamav.scan(upload.file)
    return await decoding.clean(upload.file)


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
        is_processing=not picture.thumbnail,
        created_at=moment,
        updated_at=moment,
    )


async def _delete_record(user: User, image_id: str, operation: Operation | None) -> Image:
    """The picture that was; it is read again when a worker finished it meanwhile."""
    for _ in range(TRIES):
        image = await get_image(user=user, image_id=image_id)
        try:
            await _delete_as_read(user, image, operation)
        except CommitRefused:
            continue
        return image
    raise Conflict


async def _delete_as_read(user: User, image: Image, operation: Operation | None) -> None:
    image.__dict__.update(ref_count=0)
    async with changes_of(user, operation) as work:
        work.expect_exists(image, NotFound(NO_IMAGE))
        work.expect_equal(image, "ref_count", ImageInUse())
        Image.objects.delete(work, image)
        blobs.release(work, [image])
        work.emit(ImageDeleted(session_id=image.session_id, image_id=image.id))


async def _store(
    user: User, image: Image, picture: PreparedPicture, commit: Callable[[Blob], Awaitable[None]]
) -> Image:
    """Bytes first, then the record, which so never lacks them.

    A client that leaves does not stop what has begun: they come together or not at all.
    """

    async def record(blob: Blob) -> None:
        image.__dict__.update(blob_id=blob.id, thumb_size=blob.thumb_size or len(picture.thumbnail))
        await commit(blob)

    await asyncio.shield(asyncio.ensure_future(blobs.keep(user=user, picture=picture, record=record)))
    return image


async def _commit(
    user: User, image: Image, operation: Operation | None, settle: Settling, blob: Blob
) -> None:
    async with told_what_is_used(user, image.size), changes_of(user, operation) as work:
        expect_session(work, image.session_id)
        settle(work, image)
        expect_room(work, image)
        blobs.hold(work, blob)
        Image.objects.create(work, image)
        work.emit(ImageCreated(session_id=image.session_id, image_id=image.id), image)


async def _commit_unlisted(
    user: User, image: Image, expect: Callable[[UnitOfWork], None], blob: Blob
) -> None:
    async with told_what_is_used(user, image.size), changes_of(user) as work:
        expect(work)
        expect_room(work, image)
        blobs.hold(work, blob)
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
