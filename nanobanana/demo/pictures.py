"""What must be true of a picture that was downloaded."""

import io

from PIL import Image

THUMBNAIL_SIDE = 320  # pixels


def is_small_webp(content: bytes) -> bool:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.format == "WEBP" and max(picture.size) <= THUMBNAIL_SIDE


def same_pixels(content: bytes, original: bytes) -> bool:
    return pixels(content) == pixels(original)


def pixels(content: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.size, picture.convert("RGB").tobytes()
