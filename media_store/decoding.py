"""Pictures are decoded in processes of their own: one that crashes, loops or swells costs itself alone."""

import atexit
from typing import BinaryIO

from django.conf import settings

from media_store.decoders.decoder import Decoders, Limits
from media_store.pictures import PictureInfo, PreparedPicture
from nanobanana.cores import usable_cores
from nanobanana.pools import BoundedPool

WAITING = 100  # pictures in line in one process; they wait as files

decoders = Decoders(settings.VAR_DIR / "decoders.lock", usable_cores(), Limits())
atexit.register(decoders.end)
pool = BoundedPool("decoding", threads=settings.DECODERS, waiting=WAITING)


async def prepare(file: BinaryIO) -> PreparedPicture:
    """All that an upload stores. Raises UnsupportedMedia, UnreadablePicture and PayloadTooLarge."""
    return await pool.run(_prepare, "prepare", file)


async def clean(file: BinaryIO) -> PreparedPicture:
    """What can be stored of an upload before its pixels are decoded; the same is raised."""
    return await pool.run(_prepare, "clean", file)


async def make_variant(file: BinaryIO, variant: str) -> bytes:
    """The bytes of a variant; see `imaging.make_variant`."""
    return await pool.run(_make_variant, file, variant)


def _prepare(call: str, file: BinaryIO) -> PreparedPicture:
    answer, written = decoders.ask(call, file)
    with written:
        return PreparedPicture(
            PictureInfo(**answer["info"]),
            original=written.read(answer["size"]),
            thumbnail=written.read(),
            sha256=answer["sha256"],
            blurhash=answer["blurhash"],
            colour=answer["colour"],
        )


def _make_variant(file: BinaryIO, variant: str) -> bytes:
    _, written = decoders.ask("make_variant", file, variant)
    with written:
        return written.read()
