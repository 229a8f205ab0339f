"""GIF: a screen, then images and extensions, each ending in a chain of sub-blocks (CompuServe, GIF89a)."""

from collections.abc import Iterator

from media_store.metadata.reader import Reader
from nanobanana.errors import UnreadablePicture

SIGNATURE = 6  # bytes
EXTENSION, IMAGE, TRAILER, PADDING = 0x21, 0x2C, 0x3B, 0x00
GRAPHIC_CONTROL, APPLICATION = 0xF9, 0xFF
# How often the animation repeats, in both spellings, and the colour profile.
KEPT_APPLICATIONS = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"})


def strip(data: bytes) -> bytes:
    reader = Reader(data, position=SIGNATURE, order="little")
    reader.take(4)  # width and height
    flags = reader.number(1)
    reader.take(2)  # background and aspect ratio
    _skip_palette(reader, flags)
    screen = reader.data[: reader.position]
    return b"".join([screen, *_kept_blocks(reader), bytes([TRAILER])])


def _kept_blocks(reader: Reader) -> Iterator[memoryview]:
    while not reader.is_done:
        start = reader.position
        introducer = reader.number(1)
        if introducer == TRAILER:
            return
        if introducer != PADDING and _skip_block(reader, introducer):
            yield reader.data[start : reader.position]


def _skip_block(reader: Reader, introducer: int) -> bool:
    """Move past a block; True when it belongs to the picture."""
    if introducer == IMAGE:
        _skip_image(reader)
        return True
    if introducer == EXTENSION:
        return _skip_extension(reader)
    raise UnreadablePicture


def _skip_image(reader: Reader) -> None:
    reader.take(8)  # position and size
    _skip_palette(reader, flags=reader.number(1))
    reader.take(1)  # code size
    _skip_sub_blocks(reader)


def _skip_extension(reader: Reader) -> bool:
    label = reader.number(1)
    first = bytes(reader.take(reader.number(1)))
    if first:
        _skip_sub_blocks(reader)
    return label == GRAPHIC_CONTROL or (label == APPLICATION and first in KEPT_APPLICATIONS)


def _skip_palette(reader: Reader, flags: int) -> None:
    if flags & 0x80:
        reader.take(3 << ((flags & 7) + 1))


def _skip_sub_blocks(reader: Reader) -> None:
    while size := reader.number(1):
        reader.take(size)
