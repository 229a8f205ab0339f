"""Pictures are decoded in processes of their own: one that crashes, loops or swells costs itself alone."""

import atexit
from typing import BinaryIO

from django.conf import settings

from media_store.decoders.decoder import Decoders, Limits
from media_store.pictures import CompressedOriginal, PictureInfo, PreparedPicture
from nanobanana.cores import usable_cores
from nanobanana.pools import BoundedPool

WAITING = 100  # pictures in line in one process; they wait as files

decoders = Decoders(settings.VAR_DIR / "decoders.lock", usable_cores(), Limits())
atexit.register(decoders.end)
pool = BoundedPool("decoding", threads=settings.DECODERS, waiting=WAITING)


# One at a time on a machine, when nothing else wants its cores.
compressors = Decoders(
    settings.VAR_DIR / "compressors.lock", 1, Limits(seconds=120.0, patience=600.0, niceness=19)
)
atexit.register(compressors.end)
_compression = BoundedPool("compression", threads=1, waiting=WAITING)


async def prepare(file: BinaryIO) -> PreparedPicture:
    """All that an upload stores. Raises UnsupportedMedia, UnreadablePicture and PayloadTooLarge."""
    return await pool.run(_prepare, "prepare", file)


async def look(file: BinaryIO) -> PreparedPicture:
    """What an upload stores beside its original, which is left out; the same is raised."""
    return await pool.run(_prepare, "look", file)


async def clean(file: BinaryIO) -> PreparedPicture:
    """What can be stored of an upload before its pixels are decoded; the same is raised."""
    return await pool.run(_prepare, "clean", file)


async def make_variant(file: BinaryIO, variant: str) -> bytes:
    """The bytes of a variant; see `imaging.make_variant`."""
    return await pool.run(_make_variant, file, variant)


async def compress(file: BinaryIO, mime: str) -> CompressedOriginal | None:
    """The same picture in fewer bytes, verified; None when it is not worth it. Raises UnreadablePicture."""
    return await _compression.run(_compress, file, mime)


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


def _compress(file: BinaryIO, mime: str) -> CompressedOriginal | None:
    answer, written = compressors.ask("compress", file, mime)
    with written:
        return CompressedOriginal(written.read(), answer["sha256"]) if answer["sha256"] else None
