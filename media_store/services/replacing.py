"""A picture comes to have other bytes that show the same, such as smaller ones."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import User
from accounts.services.access import changes_of
from media_store.links import WINDOWS_PER_LIFE
from media_store.models import Blob, Image
from media_store.services import blobs
from media_store.storage import get_storage
from media_store.variants import THUMB
from nanobanana.errors import Conflict
from nanobanana.events import ImageUpdated
from nanobanana.redisdb.fields import now


@dataclass(frozen=True)
class Content:
    """What `blobs.keep` stores."""

    original: bytes
    thumbnail: bytes
    sha256: str


async def replace_original(*, user: User, image: Image, original: bytes) -> Image:
    """Have a picture that was read keep this original; the devices hear of it. The thumbnail stays.

    The old bytes stay for as long as addresses of them can live that a cloud signed, and go at once when the
    picture is deleted. Raises Conflict when it was changed or deleted meanwhile, and ObjectNotFound.
    """
    content = Content(original, await _thumbnail_of(image), hashlib.sha256(original).hexdigest())
    if content.sha256 == image.sha256:
        return image

    async def record(blob: Blob) -> None:
        await _commit(user, image, content, blob)

    await blobs.note_release(user.id, due=_old_addresses_end())
    await blobs.keep(user=user, picture=content, record=record)
    return image


async def _commit(user: User, image: Image, content: Content, blob: Blob) -> None:
    async with changes_of(user) as work:
        work.expect_equal(image, "blob_id", Conflict())
        blobs.hold(work, blob)
        blobs.release(work, [image], due=_old_addresses_end())
        Image.objects.update(
            work,
            image,
            blob_id=blob.id,
            former_blob_id=image.blob_id,
            sha256=content.sha256,
            size=len(content.original),
            thumb_size=blob.thumb_size,
            updated_at=now(),
        )
        work.emit(ImageUpdated(session_id=image.session_id, image_id=image.id), image)


def _old_addresses_end() -> datetime:
    life = settings.MEDIA_URL_EXPIRES_IN
    return now() + timedelta(seconds=life + life // WINDOWS_PER_LIFE)


async def _thumbnail_of(image: Image) -> bytes:
    chunks = get_storage().open(blobs.storage_key(image, THUMB))
    return b"".join([chunk async for chunk in chunks])
