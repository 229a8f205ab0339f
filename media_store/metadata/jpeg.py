"""JPEG: segments, and after some of them entropy-coded data (ITU-T T.81, annex B)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from media_store.metadata import exif
from media_store.metadata.reader import Reader
from nanobanana.errors import UnreadablePicture

SOI, EOI, SOS, APP0, APP1, APP2, APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
# In entropy-coded data FF is followed by 0 (stuffing) or D0 to D7 (restart): neither ends it.
NEXT_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
# Each scan costs a pass over all pixels, however few bytes it has; encoders write 10 to 20 of them.
MAX_SCANS = 64


class Segment(NamedTuple):
    marker: int
    payload: bytes
    raw: memoryview  # from its marker to the end of the entropy-coded data that follows it


def strip(data: bytes) -> bytes:
    found = list(segments(data))
    if sum(segment.marker == SOS for segment in found) > MAX_SCANS:
        raise UnreadablePicture("The picture consists of too many scans.")
    return b"".join([bytes([0xFF, SOI]), *map(_kept, found), bytes([0xFF, EOI])])


def segments(data: bytes) -> Iterator[Segment]:
    """Every segment up to the first EOI; an MPO's further pictures come after that."""
    reader = Reader(data, position=2)
    start = _next_marker(data, reader.position)
    while (marker := data[start + 1]) != EOI:
        reader.position = start + 2
        payload = bytes(reader.take(reader.number(2) - 2))
        next_start = _next_marker(data, reader.position)
        end = next_start if marker == SOS else reader.position
        yield Segment(marker, payload, reader.data[start:end])
        start = next_start


def _next_marker(data: bytes, position: int) -> int:
    found = NEXT_MARKER.search(data, position)
    if found is None:
        raise UnreadablePicture
    return found.start()


def _kept(segment: Segment) -> bytes | memoryview:
    """What stays of a segment: what decoding, colour and orientation need."""
    marker, payload, raw = segment
    if marker < APP0 or (marker == APP2 and payload.startswith(b"ICC_PROFILE\0")):
        return raw
    if marker == APP0 and payload.startswith(b"JFIF\0"):
        return _segment(APP0, payload[:12] + b"\0\0")  # without its preview
    if marker == APP14 and payload.startswith(b"Adobe"):
        return _segment(APP14, payload[:12])
    if marker == APP1 and payload.startswith(exif.PREFIX):
        tags = exif.only_orientation(payload)
        return _segment(APP1, exif.PREFIX + tags) if tags else b""
    return b""


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(payload)).to_bytes(2, "big") + payload
