"""HEIF: an ISO base media file whose items or tracks are pictures (ISO/IEC 23008-12).

In AVIF they are coded as AV1 (AOM, AVIF 1.1), in HEIC as HEVC.

Offsets into the file must stay valid, so what goes is overwritten with zeros. Orientation is not in the
tags here but in the properties `irot` and `imir`.
"""

from media_store.metadata.isobmff import VERSION_AND_FLAGS, Box, boxes, items
from nanobanana.errors import UnreadablePicture

FILE = b""
KEPT = {
    FILE: frozenset(b"ftyp meta moov mdat imda".split()),
    b"meta": frozenset(b"hdlr pitm iinf iloc iprp iref idat dinf grpl".split()),
    b"iprp": frozenset(b"ipco ipma".split()),
    b"ipco": frozenset(
        b"ispe pixi av1C hvcC auxC colr pasp clap irot imir a1op lsel a1lx "
        b"clli mdcv amve cclv reve ndwt".split()
    ),
    b"moov": frozenset(b"mvhd trak".split()),
    b"trak": frozenset(b"tkhd tref edts mdia meta".split()),
}
KEPT_ITEMS = frozenset(b"av01 hvc1 grid iovl iden tmap sato".split())
UNUSED = b"free"  # the type of boxes, and here of items, that readers pass over


def strip(data: bytes) -> bytes:
    cleaned = bytearray(data)
    end = _clean(cleaned, data, FILE, 0, len(data))
    if data[end + 4 : end + 8] in KEPT[FILE]:
        raise UnreadablePicture  # a box that was cut short; anything else there is no part of the picture
    return bytes(cleaned[:end])


def without_sequence(data: bytes) -> bytes:
    """The file without what moves in it. Raises UnreadablePicture when there is nothing else."""
    top = list(boxes(data, 0, len(data)))
    moving = [box for box in top if box.type == b"moov"]
    if moving and not any(box.type == b"meta" for box in top):
        raise UnreadablePicture("A HEIC that moves has to hold a still picture as well.")
    still = bytearray(data)
    for box in moving:
        _blank(still, box.start + 4, box.body, box.end)
    return bytes(still) if moving else data


def _clean(cleaned: bytearray, data: bytes, container: bytes, start: int, end: int) -> int:
    """Clean the boxes of one container; returns where the last of them ends."""
    for box in boxes(data, start, end):
        if box.type not in KEPT[container]:
            _blank(cleaned, box.start + 4, box.body, box.end)
        elif box.type in KEPT:
            _clean_container(cleaned, data, box)
        start = box.end
    return start


def _clean_container(cleaned: bytearray, data: bytes, box: Box) -> None:
    is_meta = box.type == b"meta"
    body = box.body + (VERSION_AND_FLAGS if is_meta else 0)
    if _clean(cleaned, data, box.type, body, box.end) != box.end:
        raise UnreadablePicture
    if is_meta:
        _clean_items(cleaned, data, box)


def _clean_items(cleaned: bytearray, data: bytes, meta: Box) -> None:
    for item in items(data, meta):
        if item.type not in KEPT_ITEMS:
            for start, end in item.extents:
                _blank(cleaned, item.type_position, start, end)


def _blank(cleaned: bytearray, type_position: int, start: int, end: int) -> None:
    cleaned[type_position : type_position + 4] = UNUSED
    cleaned[start:end] = bytes(end - start)
