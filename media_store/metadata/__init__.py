"""Cut what names a place or a person out of a picture's container, without touching the compressed pixels."""

from collections.abc import Callable

from media_store.metadata import gif, heif, jpeg, png, webp

STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "image/jpeg": jpeg.strip,
    "image/png": png.strip,
    "image/webp": webp.strip,
    "image/gif": gif.strip,
    "image/avif": heif.strip,
    "image/heic": heif.strip_heic,
}


def strip(data: bytes, mime: str) -> bytes:
    """The same pixels, orientation and colour profile, without position, maker notes, XMP, IPTC and comments.

    Embedded previews, an MPO's further pictures and whatever follows the picture's end go as well.
    Raises UnreadablePicture when the container is malformed.
    """
    return STRIPPERS[mime](data)
