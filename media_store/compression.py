"""Originals in fewer bytes: the same picture to the last pixel, or nothing.

The rows of a PNG are filtered in other ways, and the coefficients of a JPEG are coded anew, progressively.
Neither program is trusted: what it made is decoded and compared, with all that says how pixels are shown.
"""

import hashlib
import io
from collections.abc import Callable

import mozjpeg_lossless_optimization
import oxipng
from PIL import Image

from media_store.metadata import jpeg, png
from nanobanana.errors import UnreadablePicture

WORTHWHILE = 0.98  # of the bytes; less is not worth a new object
LEVEL = 1  # of oxipng's 0 to 6: 2 takes twice as long for half a percent
PIXELS = frozenset({b"IDAT", b"fdAT"})
PROFILE = b"iCCP"  # which is compressed too; Pillow compares it
# What mozjpeg writes where there was nothing: square pixels.
NEUTRAL_JFIF = (jpeg.APP0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")


def compressed(data: bytes, mime: str) -> bytes | None:
    """The same picture in fewer bytes; None when it is not worth it, or not certainly the same."""
    compress, described = WAYS[mime]
    try:
        made = compress(data)
        is_worthwhile = len(made) <= WORTHWHILE * len(data)
        is_same = is_worthwhile and described(made) == described(data) and _frames(made) == _frames(data)
    except Exception as error:  # on odd bytes such programs raise almost anything
        raise UnreadablePicture from error
    return made if is_same else None


def _compress_png(data: bytes) -> bytes:
    """The kind of colour and its depth stay, so that an editor gets the mode it put in."""
    return oxipng.optimize_from_memory(
        data,
        level=LEVEL,
        bit_depth_reduction=False,
        color_type_reduction=False,
        palette_reduction=False,
        grayscale_reduction=False,
    )


def _compress_jpeg(data: bytes) -> bytes:
    markers = mozjpeg_lossless_optimization.COPY_MARKERS.ALL
    return mozjpeg_lossless_optimization.optimize(data, copy=markers)


def _describe_png(data: bytes) -> list[tuple[bytes, bytes]]:
    """Everything but pixels: depth, palette, gamma, frames and their times."""
    described = [chunk for chunk in png.chunks(data) if chunk.type not in PIXELS and chunk.type != PROFILE]
    return sorted((chunk.type, _what_counts(chunk)) for chunk in described)


def _what_counts(chunk: png.Chunk) -> bytes:
    if chunk.type == b"IHDR":
        return chunk.body[:12]  # whether it is interlaced does not
    return chunk.body[4:] if chunk.type == b"fcTL" else chunk.body  # nor which number a chunk has


def _describe_jpeg(data: bytes) -> list[tuple[int, bytes]]:
    """Orientation, profile, density, and how the colours are meant."""
    described = [(marker, payload) for marker, payload, _ in jpeg.segments(data) if marker >= jpeg.APP0]
    return sorted(
        (marker, payload[11:] if marker == jpeg.APP14 else payload)  # Adobe's flags before that do not count
        for marker, payload in described
        if (marker, payload) != NEUTRAL_JFIF
    )


def _frames(data: bytes) -> list[tuple[object, ...]]:
    """Mode, size and profile of every frame, and a digest of its pixels."""
    with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
        return [_frame(image, index) for index in range(getattr(image, "n_frames", 1))]


def _frame(image: Image.Image, index: int) -> tuple[object, ...]:
    image.seek(index)
    pixels = hashlib.sha256(image.tobytes()).digest()
    return image.mode, image.size, pixels, image.info.get("icc_profile"), image.info.get("transparency")


Way = tuple[Callable[[bytes], bytes], Callable[[bytes], object]]
WAYS: dict[str, Way] = {
    "image/png": (_compress_png, _describe_png),
    "image/jpeg": (_compress_jpeg, _describe_jpeg),
}
