"""A picture comes to have other bytes that show the same, such as smaller ones."""

from datetime import datetime, timedelta
from functools import partial

from django.conf import settings

from accounts.models import User
from media_store.links import WINDOWS_PER_LIFE
from media_store.models import Blob, Image
from media_store.pictures import PreparedPicture
from media_store.services import blobs
from nanobanana.events import ImageUpdated
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.unit_of_work import unit_of_work


class Overtaken(CommitRefused):
    """The picture is gone, or has other bytes already."""


async def replace_original(image: Image, content: PreparedPicture) -> None:
    """Have a picture that was read keep this original and thumbnail; the devices hear of it.

    The old bytes stay for as long as addresses of them can live that a cloud signed, and go at once when the
    picture is deleted. Raises Overtaken.
    """
    await blobs.note_release(image.owner_id, due=_old_addresses_end())
    user = User(image.owner_id, image.owner_id)
    await blobs.keep(user=user, picture=content, record=partial(_commit, image))


async def _commit(image: Image, blob: Blob) -> None:
    async with unit_of_work(image.owner_id) as work:
        work.expect_equal(image, "blob_id", Overtaken(image.key))
        blobs.hold(work, blob)
        blobs.release(work, [image], due=_old_addresses_end())
        Image.objects.update(
            work,
            image,
            blob_id=blob.id,
            former_blob_id=image.blob_id,
            sha256=blob.sha256,
            size=blob.size,
            thumb_size=blob.thumb_size,
            compressible=False,
            updated_at=now(),
        )
        work.emit(ImageUpdated(session_id=image.session_id, image_id=image.id), image)


def _old_addresses_end() -> datetime:
    life = settings.MEDIA_URL_EXPIRES_IN
    return now() + timedelta(seconds=life + life // WINDOWS_PER_LIFE)
