"""How large the pictures inside an AVIF are once decoded: its container may say something smaller.

AV1 Bitstream and Decoding Process Specification, sections 5.3 (OBUs) and 5.5 (sequence header).
"""

from collections.abc import Iterator
from itertools import accumulate

from media_store.metadata.bits import Bits
from media_store.metadata.isobmff import Extent, boxes, first_sample, items
from media_store.metadata.reader import Reader
from nanobanana.errors import UnreadablePicture

SEQUENCE_HEADER = 1  # a type of OBU
LONGEST_SEQUENCE_HEADER = 256  # bytes; 32 operating points of 60 bits at the most
HAS_EXTENSION, HAS_SIZE = 0b100, 0b010  # flags of an OBU

Size = tuple[int, int]  # width and height


def coded_sizes(data: bytes) -> list[Size]:
    """The size of every AV1 picture of the file; of a sequence, of its first picture."""
    payloads = [b"".join(data[start:end] for start, end in extents) for extents in _coded(data)]
    reader = Reader(b"".join(payloads))
    sizes: list[Size] = []
    for reader.end in accumulate(map(len, payloads)):
        headers = list(_sequence_headers(reader))
        if not headers:
            raise UnreadablePicture
        sizes += map(_size, headers)
    return sizes


def _coded(data: bytes) -> Iterator[list[Extent]]:
    """Where the AV1 data of each picture lies."""
    for box in boxes(data, 0, len(data)):
        if box.type == b"meta":
            yield from (item.extents for item in items(data, box) if item.type == b"av01")
        elif box.type == b"moov":
            tracks = [child for child in boxes(data, box.body, box.end) if child.type == b"trak"]
            yield from ([first_sample(data, track)] for track in tracks)


def _sequence_headers(reader: Reader) -> Iterator[bytes]:
    while not reader.is_done:
        header = reader.number(1)
        if header & HAS_EXTENSION:
            reader.take(1)
        size = _leb128(reader) if header & HAS_SIZE else reader.end - reader.position
        body = reader.take(size)
        if header >> 3 & 0b1111 == SEQUENCE_HEADER:
            yield bytes(body[:LONGEST_SEQUENCE_HEADER])


def _leb128(reader: Reader) -> int:
    value = 0
    for index in range(8):
        byte = reader.number(1)
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            break
    return value


def _size(sequence_header: bytes) -> Size:
    bits = Bits(sequence_header)
    bits.take(3 + 1)  # profile, still picture
    is_reduced = bits.take(1)
    if is_reduced:
        bits.take(5)  # level
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = _skip_timing(bits) if bits.take(1) else 0
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)  # layers
        if bits.take(5) > 7:  # level
            bits.take(1)  # tier
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def _skip_timing(bits: Bits) -> int:
    """Move past the timing; returns the bits of a buffer delay, 0 when there is no decoder model."""
    bits.take(32 + 32)  # units per tick, time scale
    if bits.take(1):
        _skip_variable_length_code(bits)
    if not bits.take(1):
        return 0
    delay_bits = bits.take(5) + 1
    bits.take(32 + 5 + 5)  # units per decoding tick, lengths of two times
    return delay_bits


def _skip_variable_length_code(bits: Bits) -> None:
    zeros = bits.leading_zeros()
    if zeros < 32:
        bits.take(zeros)
