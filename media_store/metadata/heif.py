"""HEIF: an ISO base media file whose items or tracks are pictures (ISO/IEC 23008-12).

In AVIF they are coded as AV1 (AOM, AVIF 1.1), in HEIC as HEVC.

Offsets into the file must stay valid, so what goes is overwritten with zeros. Orientation is not in the
tags here but in the properties `irot` and `imir`.
"""

from collections.abc import Iterator
from itertools import islice

from media_store.metadata.isobmff import (
    VERSION_AND_FLAGS,
    Box,
    Extent,
    boxes,
    descendant,
    items,
    samples,
)
from media_store.metadata.reader import MAX_READS
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
    b"mdia": frozenset(b"mdhd hdlr minf".split()),
    b"minf": frozenset(b"vmhd dinf stbl".split()),
    b"stbl": frozenset(b"stsd stts ctts cslg stss stsc stsz stco co64 sdtp sbgp sgpd".split()),
    b"stsd": frozenset([b"av01"]),
    b"av01": frozenset(b"av1C auxi ccst colr pasp clap btrt clli mdcv amve cclv reve ndwt".split()),
}
# Bytes of fields that stand before the boxes inside.
FIELDS = {b"meta": VERSION_AND_FLAGS, b"stsd": VERSION_AND_FLAGS + 4, b"av01": 78}
KEPT_ITEMS = frozenset(b"av01 hvc1 grid iovl iden tmap sato".split())
KEPT_TRACKS = frozenset(b"pict auxv vide".split())  # by what is meant to handle them
MAX_TRACKS = 100  # pictures, their transparency, depths; each takes its time to look through
BEFORE_HANDLER = 8  # bytes of `hdlr`
STORES = frozenset(b"mdat imda idat".split())  # whose bytes mean nothing unless something refers to them
UNUSED = b"free"  # the type of boxes, and here of items, that readers pass over


def strip_heic(data: bytes) -> bytes:
    """A HEIC that moves keeps its still picture alone: nothing of ours decodes or shows the rest."""
    return strip(_without_sequence(data))


def strip(data: bytes) -> bytes:
    _check_tracks(data)
    cleaned = bytearray(data)
    end = _clean(cleaned, data, FILE, 0, len(data))
    if data[end + 4 : end + 8] in KEPT[FILE]:
        raise UnreadablePicture  # a box that was cut short; anything else there is no part of the picture
    return _without_unused_bytes(bytes(cleaned[:end]))


def _without_sequence(data: bytes) -> bytes:
    top = list(boxes(data, 0, len(data)))
    moving = [box for box in top if box.type == b"moov"]
    if moving and not any(box.type == b"meta" for box in top):
        raise UnreadablePicture("A HEIC that moves has to hold a still picture as well.")
    still = bytearray(data)
    for box in moving:
        _blank(still, box.start + 4, box.body, box.end)
    return bytes(still)


def _check_tracks(data: bytes) -> None:
    movies = [box for box in boxes(data, 0, len(data)) if box.type == b"moov"]
    inside = (box for movie in movies for box in boxes(data, movie.body, movie.end))
    if sum(box.type == b"trak" for box in inside) > MAX_TRACKS:
        raise UnreadablePicture("The picture consists of too many parts.")


def _clean(cleaned: bytearray, data: bytes, container: bytes, start: int, end: int) -> int:
    """Clean the boxes of one container; returns where the last of them ends."""
    for box in boxes(data, start, end):
        if not _is_kept(data, container, box):
            _blank(cleaned, box.start + 4, box.body, box.end)
        elif box.type in KEPT:
            _clean_container(cleaned, data, box)
        start = box.end
    return start


def _is_kept(data: bytes, container: bytes, box: Box) -> bool:
    return box.type in KEPT[container] and (box.type != b"trak" or _handler(data, box) in KEPT_TRACKS)


def _handler(data: bytes, track: Box) -> bytes:
    start = descendant(data, track, b"mdia", b"hdlr").body + BEFORE_HANDLER
    return data[start : start + 4]


def _clean_container(cleaned: bytearray, data: bytes, box: Box) -> None:
    if _clean(cleaned, data, box.type, _first_inside(box), box.end) != box.end:
        raise UnreadablePicture
    if box.type == b"meta":
        _clean_items(cleaned, data, box)


def _first_inside(box: Box) -> int:
    return box.body + FIELDS.get(box.type, 0)


def _clean_items(cleaned: bytearray, data: bytes, meta: Box) -> None:
    for item in items(data, meta):
        if item.type not in KEPT_ITEMS:
            for start, end in item.extents:
                _blank(cleaned, item.type_position, start, end)


def _blank(cleaned: bytearray, type_position: int, start: int, end: int) -> None:
    cleaned[type_position : type_position + 4] = UNUSED
    cleaned[start:end] = bytes(end - start)


def _without_unused_bytes(data: bytes) -> bytes:
    """Zero what is stored and belongs to no item and no track that was kept."""
    used = list(islice(_used(data), MAX_READS))
    if len(used) == MAX_READS:
        raise UnreadablePicture("The picture consists of too many parts.")
    cleaned = bytearray(data)
    for box in _all_boxes(data, FILE, 0, len(data)):
        if box.type in STORES:
            cleaned[box.body : box.end] = bytes(box.end - box.body)
    restored = 0
    for start, end in sorted(used):  # some share bytes, which are copied once
        cleaned[max(start, restored) : end] = data[max(start, restored) : end]
        restored = max(restored, end)
    return bytes(cleaned)


def _used(data: bytes) -> Iterator[Extent]:
    for box in _all_boxes(data, FILE, 0, len(data)):
        if box.type == b"meta":
            kept = [item for item in items(data, box) if item.type in KEPT_ITEMS]
            yield from (extent for item in kept for extent in item.extents)
        elif box.type == b"trak":
            yield from samples(data, box)


def _all_boxes(data: bytes, container: bytes, start: int, end: int) -> Iterator[Box]:
    """Every box that was kept, at whatever depth."""
    for box in boxes(data, start, end):
        if box.type in KEPT[container]:
            yield box
            if box.type in KEPT:
                yield from _all_boxes(data, box.type, _first_inside(box), box.end)
