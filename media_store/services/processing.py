"""Large pictures: kept at once, and decoded behind the answer.

    upload ─► cleaned, stored, recorded as `processing` ─► answer
                                  └─► job ─► decoded: thumbnail, placeholder ─► `ready`, or `failed`, and why

What was recorded is found by an index until it is one of the two, so that a crash before the job was enqueued
only delays it; who has any is noted, so nobody else is looked at.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from accounts.models import User
from accounts.services.access import changes_of
from media_store import decoding, rendering
from media_store.managers import PROCESSING, UNFINISHED
from media_store.models import Blob, Image
from media_store.pictures import PreparedPicture
from media_store.services.blobs import remove_if_gone, storage_key
from media_store.storage import ObjectNotFound, get_storage
from media_store.variants import ORIGINAL, THUMB, sizes_of
from nanobanana.errors import PayloadTooLarge, TokenInvalid, UnreadablePicture, UnsupportedMedia
from nanobanana.events import ImageUpdated
from nanobanana.jobs import job
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import milliseconds, now

OVERDUE = timedelta(minutes=1)  # after which it is asked whether the job was lost
LATER = timedelta(hours=1)  # when a user who has none is looked at once more; longer than any upload
STEP = 500  # jobs enqueued at once for one user
GIVEN_UP = "The picture could not be processed. Upload it again."
LOST = "The bytes of the picture are missing. Upload it again."


@job("prepare picture", time_limit=300)
async def prepare_picture(*, user_id: str, image_id: str) -> None:
    """Decode a picture that was recorded without; its other sizes are made as well."""
    image = await _find_unfinished(user_id, image_id)
    if image is None:
        return
    try:
        async with _original_of(image) as file:
            picture = await decoding.look(file)
    except (PayloadTooLarge, UnreadablePicture, UnsupportedMedia) as error:
        return await _finish(image, failure=error.message)
    except ObjectNotFound:
        return await _finish(image, failure=LOST)
    await get_storage().put(storage_key(image, THUMB), picture.thumbnail)
    await _finish_with(image, picture)
    for variant in sizes_of(image.width, image.height):
        await rendering.size_of(image, variant)


@prepare_picture.when_given_up
async def show_that_it_failed(*, reason: str, user_id: str, image_id: str) -> None:
    """The job's own reason is for operators (`manage.py jobs`)."""
    image = await _find_unfinished(user_id, image_id)
    if image:
        await _finish(image, failure=GIVEN_UP)


@job("check pictures", every=60)
async def check_pictures() -> None:
    """Enqueue the pictures whose job was lost."""
    await PROCESSING.work_off(_check, at=now(), later=now() + LATER)


async def announce(user_id: str) -> None:
    """Note, before it is recorded, that a picture of the user will have to be processed."""
    await PROCESSING.note(user_id, now() + OVERDUE)


async def _check(user_id: str) -> datetime | None:
    """Enqueue what is overdue of a user; when to look again."""
    overdue = milliseconds(now() - OVERDUE)
    for image_id in await Image.objects.ids_up_to(user_id, UNFINISHED, score=overdue, limit=STEP):
        await prepare_picture.enqueue(user_id=user_id, image_id=image_id)
    return now() + OVERDUE if await Image.objects.earliest(user_id, UNFINISHED) else None


async def _find_unfinished(user_id: str, image_id: str) -> Image | None:
    try:
        image = await Image.objects.aget(user_id, image_id)
    except DoesNotExist:
        return None
    return image if image.is_processing else None


@asynccontextmanager
async def _original_of(image: Image) -> AsyncIterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        async for chunk in get_storage().open(storage_key(image, ORIGINAL)):
            file.write(chunk)
        yield file


async def _finish_with(image: Image, picture: PreparedPicture) -> None:
    await _finish(image, thumb_size=len(picture.thumbnail), blurhash=picture.blurhash, colour=picture.colour)
    # Who deleted it meanwhile may not have found the thumbnail.
    await remove_if_gone(user_id=image.owner_id, blob_id=image.blob_id)


async def _finish(image: Image, **found: Any) -> None:
    """Say what came of it, once; a picture that is gone, or finished by another worker, stays as it is."""
    try:
        async with changes_of(User(image.owner_id, image.owner_id)) as work:
            work.expect_equal(image, "is_processing")
            Image.objects.update(work, image, is_processing=False, updated_at=now(), **found)
            if "thumb_size" in found:
                Blob.objects.update(work, Blob(image.owner_id, image.blob_id), thumb_size=found["thumb_size"])
            work.emit(ImageUpdated(session_id=image.session_id, image_id=image.id), image)
    except (CommitRefused, TokenInvalid):
        return
