"""Originals come to lie in fewer bytes, behind their uploads; `media_store/compression.py` says how."""

import logging
import tempfile
from datetime import datetime, timedelta
from typing import BinaryIO

from django.conf import settings

from media_store import decoding
from media_store.managers import TO_COMPRESS
from media_store.models import Image
from media_store.pictures import PictureInfo, PreparedPicture
from media_store.services import blobs
from media_store.services.replacing import Overtaken, replace_original
from media_store.storage import ObjectNotFound, get_storage
from media_store.variants import ORIGINAL, THUMB
from nanobanana.errors import UnreadablePicture
from nanobanana.jobs import job
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.unit_of_work import unit_of_work

MIMES = frozenset({"image/png", "image/jpeg"})
STEP = 100
SOON = timedelta(minutes=1)  # when to look again at what is being processed
LATER = timedelta(hours=1)  # when to look again at who has nothing; longer than an upload takes

logger = logging.getLogger(__name__)


def is_compressible(mime: str) -> bool:
    return settings.COMPRESS_ORIGINALS and mime in MIMES


async def announce(user_id: str) -> None:
    """Have the job look at this user, before there is a picture to be compressed."""
    if settings.COMPRESS_ORIGINALS:
        await TO_COMPRESS.note(user_id, now())


@job("compress originals", every=60, time_limit=3600)
async def compress_due() -> None:
    """Compress what was uploaded, one picture after the other, however many processes there are."""
    await TO_COMPRESS.work_off(_compress_all_of, at=now(), later=now() + LATER)


async def _compress_all_of(user_id: str) -> datetime | None:
    """Compress what a user has, in steps that each leave less; when to look again."""
    while image_ids := await Image.objects.compressible_ids(user_id, limit=STEP):
        page = await Image.objects.aget_many(user_id, image_ids)
        finished = [image for image in page.objects if not image.is_processing]
        for image in finished:
            await compress_original(image)
        if not finished:
            return now() + SOON
    return None


async def compress_original(image: Image) -> None:
    """Have a picture hold smaller bytes with the same pixels, if there are such."""
    try:
        content = None if image.failure else await _compressed(image)
        if content is None:
            return await _leave(image)
        await replace_original(image, content)
    except Overtaken:
        return
    except (ObjectNotFound, UnreadablePicture) as error:
        logger.warning("%s is not compressed: %s", image.key, error)
        await _leave(image)


async def _compressed(image: Image) -> PreparedPicture | None:
    with tempfile.TemporaryFile() as file:
        await _read(blobs.storage_key(image, ORIGINAL), file)
        made = await decoding.compress(file, image.mime)
    if not made:
        return None
    thumbnail = b"".join([chunk async for chunk in get_storage().open(blobs.storage_key(image, THUMB))])
    info = PictureInfo(image.mime, image.width, image.height, frames=1)
    return PreparedPicture(info, made.content, made.sha256, thumbnail)


async def _read(key: str, file: BinaryIO) -> None:
    async for chunk in get_storage().open(key):
        file.write(chunk)
    file.seek(0)


async def _leave(image: Image) -> None:
    """The picture stays as it is; one that is gone is no error."""
    async with unit_of_work(image.owner_id) as work:
        with work.when(image, "compressible", True):
            Image.objects.update(work, image, compressible=False)
