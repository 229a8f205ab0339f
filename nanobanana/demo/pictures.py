"""What must be true of a picture that was downloaded, and one that the story makes."""

import io

from PIL import Image, ImageOps

THUMBNAIL_SIDE = 320  # pixels


def is_small_webp(content: bytes) -> bool:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.format == "WEBP" and max(picture.size) <= THUMBNAIL_SIDE


def same_pixels(content: bytes, original: bytes) -> bool:
    return pixels(content) == pixels(original)


def pixels(content: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.size, picture.convert("RGB").tobytes()


def mirrored(content: bytes) -> bytes:
    """The same picture as a JPEG, left and right exchanged."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        ImageOps.mirror(picture.convert("RGB")).save(file, "JPEG")
    return file.getvalue()
