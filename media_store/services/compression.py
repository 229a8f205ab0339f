"""Originals are stored in fewer bytes, behind the upload; see `media_store/compression.py` for how."""

import logging
import tempfile
from datetime import timedelta
from functools import partial
from typing import BinaryIO

from django.conf import settings

from accounts.models import User
from media_store import decoding
from media_store.models import Blob, Image
from media_store.pictures import PictureBytes
from media_store.services import blobs
from media_store.storage import ObjectNotFound, get_storage
from media_store.variants import ORIGINAL, THUMB
from nanobanana.background import of_this_process
from nanobanana.errors import UnreadablePicture
from nanobanana.events import ImageUpdated
from nanobanana.jobs import job
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.unit_of_work import unit_of_work

MIMES = frozenset({"image/png", "image/jpeg"})

logger = logging.getLogger(__name__)


class Overtaken(CommitRefused):
    """The picture is gone, or has other bytes already."""


def compress_soon(image: Image) -> None:
    """Have a worker do it; nobody waits, and one that is lost leaves the picture as it is."""
    if settings.COMPRESS_ORIGINALS and image.mime in MIMES:
        names = {"user_id": image.owner_id, "image_id": image.id, "sha256": image.sha256}
        of_this_process.spawn(compress_original.enqueue_or_leave(**names))


@job("compress original", retries=3)
async def compress_original(*, user_id: str, image_id: str, sha256: str) -> None:
    """Have a picture hold smaller bytes with the same pixels, unless its bytes are others already.

    The former ones stay for as long as addresses that a cloud has signed.
    """
    try:
        image = await Image.objects.aget(user_id, image_id)
    except DoesNotExist:
        return
    if image.sha256 != sha256:
        return
    try:
        picture = await _compressed(image)
        if picture:
            await blobs.keep(user=User(user_id, user_id), picture=picture, record=partial(_replace, image))
    except (ObjectNotFound, UnreadablePicture, Overtaken) as error:
        logger.info("%s stays as it is: %s", image.key, error)


async def _compressed(image: Image) -> PictureBytes | None:
    with tempfile.TemporaryFile() as file:
        await _read(blobs.storage_key(image, ORIGINAL), file)
        made = await decoding.compress(file, image.mime)
    if not made:
        return None
    thumbnail = b"".join([chunk async for chunk in get_storage().open(blobs.storage_key(image, THUMB))])
    return PictureBytes(made.content, thumbnail, made.sha256)


async def _read(key: str, file: BinaryIO) -> None:
    async for chunk in get_storage().open(key):
        file.write(chunk)
    file.seek(0)


async def _replace(image: Image, blob: Blob) -> None:
    due = now() + timedelta(seconds=settings.MEDIA_URL_EXPIRES_IN)
    await blobs.note_release(image.owner_id, due=due)
    async with unit_of_work(image.owner_id) as work:
        work.expect_equal(image, "blob_id", Overtaken(image.key))
        blobs.hold(work, blob)
        blobs.release(work, [image], due=due)
        changes = {"blob_id": blob.id, "sha256": blob.sha256, "size": blob.size, "updated_at": now()}
        Image.objects.update(work, image, **changes)
        work.emit(ImageUpdated(session_id=image.session_id, image_id=image.id), image)
