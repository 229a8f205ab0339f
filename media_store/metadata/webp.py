"""WebP: a RIFF file of chunks, each padded to even length (RFC 9649)."""

from collections.abc import Iterator

from media_store.metadata import exif
from media_store.metadata.reader import Reader

EXTENDED, FRAME, EXIF = b"VP8X", b"ANMF", b"EXIF"
KEPT_IN_FRAME = frozenset({b"ALPH", b"VP8 ", b"VP8L"})
KEPT = KEPT_IN_FRAME | {EXTENDED, FRAME, EXIF, b"ICCP", b"ANIM"}
FRAME_HEADER = 16  # bytes of a frame before its own chunks
HAS_EXIF, HAS_XMP = 0x08, 0x04  # flags in the first byte of VP8X

Chunk = tuple[bytes, bytes]  # type and body


def strip(data: bytes) -> bytes:
    reader = Reader(data, position=4, order="little")
    size = reader.number(4)
    reader.take(4)  # "WEBP", which the size counts
    cleaned = [(type, _cleaned(type, body)) for type, body in _chunks(reader.take(size - 4)) if type in KEPT]
    chunks = [(type, body) for type, body in cleaned if body]
    has_exif = any(type == EXIF for type, _ in chunks)
    kept = b"WEBP" + b"".join(_chunk(type, _flagged(type, body, has_exif)) for type, body in chunks)
    return b"RIFF" + len(kept).to_bytes(4, "little") + kept


def _chunks(data: bytes | memoryview) -> Iterator[Chunk]:
    reader = Reader(data, order="little")
    while not reader.is_done:
        type = bytes(reader.take(4))
        size = reader.number(4)
        yield type, bytes(reader.take(size))
        reader.take(0 if reader.is_done else size % 2)  # the last padding byte is often forgotten


def _cleaned(type: bytes, body: bytes) -> bytes:
    if type == EXIF:
        return exif.only_orientation(body)
    if type == FRAME:
        parts = [_chunk(*part) for part in _chunks(body[FRAME_HEADER:]) if part[0] in KEPT_IN_FRAME]
        return b"".join([body[:FRAME_HEADER], *parts])
    return body


def _flagged(type: bytes, body: bytes, has_exif: bool) -> bytes:
    """In VP8X, say which kinds of metadata are left."""
    if type != EXTENDED:
        return body
    flags = body[0] & ~(HAS_EXIF | HAS_XMP) | (HAS_EXIF if has_exif else 0)
    return bytes([flags]) + body[1:]


def _chunk(type: bytes, body: bytes) -> bytes:
    return type + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
