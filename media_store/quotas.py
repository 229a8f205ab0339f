"""How many pictures a user may have, and how many bytes of them: QUOTA_IMAGES and QUOTA_BYTES.

The commit that adds a picture decides, so that no number of uploads at once gets past a limit. To ask before
only spares the work of an upload that cannot end well. How many bytes a picture takes is known after that
work: what names a place or a person is cut out, and does not count.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings

from accounts.models import User
from media_store.models import Image, Usage
from nanobanana.errors import APIError, ByteQuotaExceeded, ImageQuotaExceeded
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, was_committed


def expect_room(work: UnitOfWork, image: Image) -> None:
    """Have the commit refused that would exceed a limit; inside of `told_what_is_used`."""
    usage = Usage(work.owner_id, work.owner_id)
    if settings.QUOTA_IMAGES:
        work.expect_at_most(usage, "images", settings.QUOTA_IMAGES - 1, ImageQuotaExceeded())
    if settings.QUOTA_BYTES:
        work.expect_at_most(usage, "bytes", settings.QUOTA_BYTES - image.size, ByteQuotaExceeded())


async def require_room(*, user: User, operation: Operation | None = None) -> None:
    """Fail before the work when no picture at all has room, unless this one is stored already."""
    if not settings.QUOTA_IMAGES and not settings.QUOTA_BYTES:
        return
    refusal = _refusal(await Usage.objects.aget_of(user.id))
    if refusal and not await was_committed(user.id, operation):
        raise refusal


@asynccontextmanager
async def told_what_is_used(user: User, size: int) -> AsyncIterator[None]:
    """Give what `expect_room` refuses its figures."""
    try:
        yield
    except (ImageQuotaExceeded, ByteQuotaExceeded) as error:
        # Room that has come back meanwhile is for the next try.
        raise _refusal(await Usage.objects.aget_of(user.id), size) or error from error


def _refusal(usage: Usage, size: int | None = None) -> APIError | None:
    """What a picture of `size` bytes is refused with; without, any picture."""
    images, room = settings.QUOTA_IMAGES, settings.QUOTA_BYTES
    if images and usage.images >= images:
        used = f"{usage.images} of {images} pictures are used"
        return ImageQuotaExceeded(f"{used}; delete some first.", details={"images": [f"{used}."]})
    if room and usage.bytes + (size or 1) > room:
        used = f"{usage.bytes} of {room} bytes are used"
        asked = f", and this picture has {size}" if size else ""
        advice = "it is too large" if size and size > room else "delete some first"
        return ByteQuotaExceeded(f"{used}{asked}; {advice}.", details={"bytes": [f"{used}."]})
    return None
