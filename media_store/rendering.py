"""Variants of pictures that are made when somebody first asks for one, and kept beside the original."""

import asyncio
import tempfile

from django.conf import settings

from media_store import decoding
from media_store.models import Image
from media_store.services.blobs import remove_if_gone, storage_key
from media_store.storage import ObjectNotFound, get_storage
from media_store.variants import ORIGINAL, THUMB
from nanobanana.errors import UnreadablePicture
from nanobanana.pools import Line

# At once in one process, so that uploads do not wait behind a page of pictures.
AT_ONCE = 2 * settings.DECODERS
WAITING = 500

_line = Line(AT_ONCE, waiting=WAITING)
_under_way: dict[str, asyncio.Task[int]] = {}


async def size_of(image: Image, variant: str) -> int:
    """The bytes of a variant, which is made now when it was never asked for.

    Raises ObjectNotFound, and UnreadablePicture; of a picture that failed before, without trying again.

    One process makes it once, however many ask. Two processes may both make it: the same bytes, of which the
    storage keeps one copy.
    """
    if variant == ORIGINAL:
        return image.size
    if image.failure:
        raise UnreadablePicture(image.failure)
    if variant == THUMB and image.thumb_size:  # of one that is processed there is none yet
        return image.thumb_size
    key = storage_key(image, variant)
    try:
        return await get_storage().stat(key)
    except ObjectNotFound:
        return await asyncio.shield(_making(image, variant, key))


def _making(image: Image, variant: str, key: str) -> asyncio.Task[int]:
    if key not in _under_way:
        _under_way[key] = asyncio.ensure_future(_make(image, variant, key))
        _under_way[key].add_done_callback(lambda _: _under_way.pop(key))
    return _under_way[key]


async def _make(image: Image, variant: str, key: str) -> int:
    storage = get_storage()
    async with _line.turn():
        with tempfile.TemporaryFile() as file:
            async for chunk in storage.open(storage_key(image, ORIGINAL)):
                file.write(chunk)
            made = await decoding.make_variant(file, variant)
    await storage.put(key, made)
    # Who deleted the picture meanwhile may not have found this file.
    await remove_if_gone(user_id=image.owner_id, blob_id=image.blob_id)
    return len(made)
