"""PNG: a row of chunks, each with length, type and checksum (W3C, PNG third edition; APNG is part of it)."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from media_store.metadata import exif
from media_store.metadata.reader import Reader
from nanobanana.errors import UnreadablePicture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PICTURE = b"IHDR PLTE tRNS IDAT IEND"
COLOURS = b"gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD"
FRAMES = b"acTL fcTL fdAT"
DENSITY = b"pHYs"
KEPT = frozenset(b" ".join([PICTURE, COLOURS, FRAMES, DENSITY]).split())


class Chunk(NamedTuple):
    type: bytes
    body: bytes
    raw: bytes  # with length, type and checksum


def strip(data: bytes) -> bytes:
    header, *others = chunks(data)
    if header.type != b"IHDR":
        raise UnreadablePicture
    tags = next((exif.only_orientation(chunk.body) for chunk in others if chunk.type == b"eXIf"), b"")
    kept = [chunk.raw for chunk in others if chunk.type in KEPT]
    # The tags go to the front, so that a reader knows which way is up before it has the pixels.
    return b"".join([SIGNATURE, header.raw, _chunk(b"eXIf", tags) if tags else b"", *kept])


def chunks(data: bytes) -> Iterator[Chunk]:
    """Every chunk up to IEND; what follows is no part of the picture."""
    reader = Reader(data, position=len(SIGNATURE))
    type = b""
    while type != b"IEND":
        start = reader.position
        length = reader.number(4)
        type = bytes(reader.take(4))
        body = bytes(reader.take(length))
        reader.take(4)  # checksum
        yield Chunk(type, body, data[start : reader.position])


def _chunk(type: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(type + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + type + body + checksum
