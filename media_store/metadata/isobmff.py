"""ISO base media files: boxes in boxes, items that a `meta` box lists, samples that a track lists.

ISO/IEC 14496-12, sections 4.2 (boxes), 8.7 (samples), 8.11.3 (iloc), 8.11.6 (iinf),
8.11.12 (iref) and 8.11.14 (iprp).
"""

import struct
from collections.abc import Iterator
from itertools import islice, pairwise, repeat
from typing import NamedTuple

from media_store.metadata.reader import MAX_READS, Reader
from nanobanana.errors import UnreadablePicture

VERSION_AND_FLAGS = 4  # bytes at the start of a "full" box
IN_FILE, IN_IDAT = 0, 1  # what the offsets of an item's extents count from
# Items may share bytes, as equal tiles of a grid do, but not to make work without end.
MAX_SHARED_BYTES = 4 * 1024**2

Extent = tuple[int, int]  # start and end in the file


class Box(NamedTuple):
    type: bytes
    start: int
    body: int
    end: int


class Item(NamedTuple):
    id: int
    type: bytes
    type_position: int
    extents: list[Extent]


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes that lie whole in `data[start:end]`, one behind the other."""
    for _ in range(MAX_READS):
        body = start + 8
        size = int.from_bytes(data[start : start + 4])
        if size == 0:
            size = end - start
        elif size == 1:
            size = int.from_bytes(data[body : body + 8])
            body += 8
        if not body <= start + size <= end:
            return
        yield Box(data[start + 4 : start + 8], start, body, start + size)
        start += size


def children(data: bytes, box: Box) -> dict[bytes, Box]:
    body = box.body + (VERSION_AND_FLAGS if box.type == b"meta" else 0)
    return {child.type: child for child in boxes(data, body, box.end)}


def descendant(data: bytes, box: Box, *path: bytes) -> Box:
    for type in path:
        box = _required(children(data, box), type)
    return box


def _required(among: dict[bytes, Box], type: bytes) -> Box:
    if type not in among:
        raise UnreadablePicture
    return among[type]


def items(data: bytes, meta: Box) -> list[Item]:
    """The items of a `meta` box that have a place in the file."""
    parts = children(data, meta)
    types = _item_types(data, _required(parts, b"iinf"))
    extents = _item_extents(data, parts)
    if sum(end - start for found in extents.values() for start, end in found) > len(data) + MAX_SHARED_BYTES:
        raise UnreadablePicture
    return [Item(item_id, *types[item_id], extents[item_id]) for item_id in types if item_id in extents]


def content_of(data: bytes, item: Item) -> bytes:
    return b"".join(data[start:end] for start, end in item.extents)


def _item_types(data: bytes, iinf: Box) -> dict[int, tuple[bytes, int]]:
    """For each item its type, and where that stands in the file."""
    reader = Reader(data, iinf.body, iinf.end)
    version = reader.number(1)
    reader.take(3)  # flags
    reader.take(2 if version == 0 else 4)  # count
    listed = [_item_type(data, box) for box in boxes(data, reader.position, iinf.end)]
    types = dict(listed)
    if len(types) < len(listed):
        raise UnreadablePicture  # readers do not agree on which of two items of one id counts
    return types


def _item_type(data: bytes, infe: Box) -> tuple[int, tuple[bytes, int]]:
    reader = Reader(data, infe.body, infe.end)
    version = reader.number(1)
    reader.take(3)  # flags
    item_id = reader.number(4 if version == 3 else 2)
    reader.take(2)  # protection
    position = reader.position
    return item_id, (bytes(reader.take(4)), position)


def _item_extents(data: bytes, parts: dict[bytes, Box]) -> dict[int, list[Extent]]:
    iloc = _required(parts, b"iloc")
    reader = Reader(data, iloc.body, iloc.end)
    version = reader.number(1)
    reader.take(3)  # flags
    offset_size, length_size = divmod(reader.number(1), 16)
    base_size, index_size = divmod(reader.number(1), 16)
    id_size = 4 if version == 2 else 2
    extents: dict[int, list[Extent]] = {}
    for _ in range(reader.number(id_size)):
        item_id = reader.number(id_size)
        method = reader.number(2) & 0x0F if version > 0 else IN_FILE
        reader.take(2)  # data reference
        base = _origin(parts, method) + reader.number(base_size)
        extents[item_id] = []
        for _ in range(reader.number(2)):
            reader.take(index_size if version > 0 else 0)
            start = base + reader.number(offset_size)
            extents[item_id].append(_extent(data, start, reader.number(length_size)))
    return extents


def _origin(parts: dict[bytes, Box], method: int) -> int:
    if method == IN_FILE:
        return 0
    if method == IN_IDAT:
        return _required(parts, b"idat").body
    raise UnreadablePicture("The picture places its items in a way that is not supported.")


def _extent(data: bytes, start: int, length: int) -> Extent:
    if start + length > len(data):
        raise UnreadablePicture
    return start, start + length


def ingredients(data: bytes, meta: Box) -> Iterator[tuple[int, list[int]]]:
    """For each item that is made of others, such as a grid of its tiles: its id and theirs."""
    for references in boxes(data, meta.body + VERSION_AND_FLAGS, meta.end):
        if references.type != b"iref":
            continue
        id_size = 2 if data[references.body] == 0 else 4
        for box in boxes(data, references.body + VERSION_AND_FLAGS, references.end):
            if box.type == b"dimg":
                reader = Reader(data, box.body, box.end)
                yield reader.number(id_size), [reader.number(id_size) for _ in range(reader.number(2))]


def properties(data: bytes, meta: Box) -> dict[int, list[Box]]:
    """For each item what is said of it, such as its size and how it is coded."""
    iprp = descendant(data, meta, b"iprp")
    ipco = descendant(data, iprp, b"ipco")
    listed = list(boxes(data, ipco.body, ipco.end))
    found: dict[int, list[Box]] = {}
    for ipma in boxes(data, iprp.body, iprp.end):
        if ipma.type == b"ipma":
            for item_id, numbers in _associations(data, ipma):
                named = [listed[number - 1] for number in numbers if 0 < number <= len(listed)]
                found.setdefault(item_id, []).extend(named)
    return found


def _associations(data: bytes, ipma: Box) -> Iterator[tuple[int, list[int]]]:
    """For each item the numbers of its properties, from 1."""
    reader = Reader(data, ipma.body, ipma.end)
    version = reader.number(1)
    size = 2 if reader.number(3) & 1 else 1
    for _ in range(reader.number(4)):
        item_id = reader.number(2 if version == 0 else 4)
        bits = (1 << 8 * size - 1) - 1  # the first one says whether the property must be understood
        yield item_id, [reader.number(size) & bits for _ in range(reader.number(1))]


def first_sample(data: bytes, track: Box) -> Extent:
    """Where the first picture of a sequence lies."""
    for extent in samples(data, track):
        return extent
    raise UnreadablePicture


def samples(data: bytes, track: Box) -> Iterator[Extent]:
    """Where the samples of a track lie: one behind the other in chunks, whose offsets are listed."""
    tables = children(data, descendant(data, track, b"mdia", b"minf", b"stbl"))
    sizes = _sample_sizes(data, tables)
    offsets = _chunk_offsets(data, tables)
    for start, count in zip(offsets, _samples_per_chunk(data, tables, len(offsets)), strict=False):
        end = start
        for size in islice(sizes, count):
            extent = _extent(data, end, size)
            end = extent[1]
            yield extent


def _sample_sizes(data: bytes, tables: dict[bytes, Box]) -> Iterator[int]:
    reader = _fields(data, _required(tables, b"stsz"))
    if common_size := reader.number(4):
        return repeat(common_size, reader.number(4))
    return (size for (size,) in _rows(reader, ">I"))


def _chunk_offsets(data: bytes, tables: dict[bytes, Box]) -> list[int]:
    if b"co64" in tables:
        rows = _rows(_fields(data, tables[b"co64"]), ">Q")
    else:
        rows = _rows(_fields(data, _required(tables, b"stco")), ">I")
    return [offset for (offset,) in rows]


def _samples_per_chunk(data: bytes, tables: dict[bytes, Box], chunks: int) -> Iterator[int]:
    """For each chunk how many samples it has; runs of chunks with equally many are listed by their first."""
    runs = _rows(_fields(data, _required(tables, b"stsc")), ">III")
    behind_last = (chunks + 1, 0, 0)
    for (first, count, _), (following, _, _) in pairwise([*runs, behind_last]):
        yield from repeat(count, following - first)


def _fields(data: bytes, box: Box) -> Reader:
    return Reader(data, box.body + VERSION_AND_FLAGS, box.end)


def _rows(reader: Reader, format: str) -> list[tuple[int, ...]]:
    """A table behind its number of rows; read at once, as some have hundreds of thousands."""
    count = reader.number(4)
    if count > MAX_READS:
        raise UnreadablePicture("The picture consists of too many parts.")
    return list(struct.iter_unpack(format, reader.take(count * struct.calcsize(format))))
