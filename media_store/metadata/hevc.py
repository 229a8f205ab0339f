"""How large the pictures inside a HEIC are once decoded: its container may say something smaller.

Parameter sets: ITU-T H.265, sections 7.3.1 and 7.3.2.2; the box `hvcC` that has them: ISO/IEC 14496-15,
section 8.3.3.1; grids of tiles: ISO/IEC 23008-12, section 6.6.2.3.
"""

from collections.abc import Iterator
from math import prod

from media_store.metadata.bits import Bits
from media_store.metadata.isobmff import (
    VERSION_AND_FLAGS,
    Box,
    Item,
    boxes,
    content_of,
    descendant,
    ingredients,
    items,
    properties,
)
from media_store.metadata.reader import Reader
from nanobanana.errors import UnreadablePicture

# Kinds of items; what was cut out is `free`, and a tone map is made of pictures that are listed.
UNDERSTOOD = frozenset(b"hvc1 grid tmap free".split())
SEQUENCE_PARAMETERS = 33  # a type of NAL unit
PARAMETER_SETS = range(32, 35)
LONGEST_PARAMETERS = 512  # bytes; the size stands in the first 200 even with seven sub-layers
BEFORE_LENGTH_SIZE = 21  # bytes of `hvcC`
GENERAL_LEVEL = 88 + 8  # bits of profile and level
SUB_LAYERS = 8

Size = tuple[int, int]  # width and height


def coded_sizes(data: bytes) -> list[Size]:
    """The size of every HEVC picture in the file, and of grids with all of their tiles.

    Raises UnreadablePicture for what a decoder may understand in another way.
    """
    top = list(boxes(data, 0, len(data)))
    if any(box.type == b"moov" for box in top):
        raise UnreadablePicture  # its pictures are not listed; of what is stored it was cut out
    metas = [box for box in top if box.type == b"meta"]
    if len(metas) != 1 or not _is_unambiguous(data, metas[0]):
        raise UnreadablePicture
    return _sizes_of_items(data, metas[0])


def _is_unambiguous(data: bytes, meta: Box) -> bool:
    """Whether each of the boxes that count stands there once."""
    iprp = descendant(data, meta, b"iprp")
    inside = [*boxes(data, meta.body + VERSION_AND_FLAGS, meta.end), *boxes(data, iprp.body, iprp.end)]
    types = [box.type for box in inside]
    return all(types.count(type) == 1 for type in (b"iinf", b"iloc", b"iprp", b"ipco"))


def _sizes_of_items(data: bytes, meta: Box) -> list[Size]:
    found = items(data, meta)
    if any(item.type not in UNDERSTOOD for item in found):
        raise UnreadablePicture("The picture is put together in a way that is not supported.")
    declared = properties(data, meta)
    pictures = {
        item.id: _size_of_picture(data, item, declared[item.id])
        for item in found
        if item.type == b"hvc1" and item.id in declared
    }
    grids = {item.id: _canvas(content_of(data, item)) for item in found if item.type == b"grid"}
    tiles = [tile for whole, parts in ingredients(data, meta) if whole in grids for tile in parts]
    if not pictures.keys() >= set(tiles):
        raise UnreadablePicture  # a grid of grids would have tiles without end
    others = pictures.keys() - set(tiles)
    return [*grids.values(), *(pictures[item_id] for item_id in [*tiles, *others])]


def _size_of_picture(data: bytes, item: Item, said: list[Box]) -> Size:
    _require_no_parameters(content_of(data, item))
    sizes = [size for box in said if box.type == b"hvcC" for size in _sizes_declared(data, box)]
    if not sizes:
        raise UnreadablePicture
    return max(sizes, key=prod)


def _sizes_declared(data: bytes, configuration: Box) -> Iterator[Size]:
    reader = Reader(data, configuration.body, configuration.end)
    reader.take(BEFORE_LENGTH_SIZE)
    if reader.number(1) & 0b11 != 3:
        raise UnreadablePicture("The picture counts its parts in a way that is not supported.")
    for _ in range(reader.number(1)):
        type = reader.number(1) & 0b111111
        for _ in range(reader.number(2)):
            unit = bytes(reader.take(reader.number(2)))
            if type == SEQUENCE_PARAMETERS or _type(unit) == SEQUENCE_PARAMETERS:
                yield _size(unit)


def _type(unit: bytes) -> int:
    return unit[0] >> 1 & 0b111111 if unit else 0


def _size(unit: bytes) -> Size:
    payload = unit[2:LONGEST_PARAMETERS].replace(b"\0\0\3", b"\0\0")  # the 3 only keeps markers apart
    bits = Bits(payload)
    bits.take(4)  # video parameter set
    sub_layers = bits.take(3)
    bits.take(1 + GENERAL_LEVEL)
    _skip_sub_layers(bits, sub_layers)
    bits.exp_golomb()  # its own number
    if bits.exp_golomb() == 3:  # chroma format
        bits.take(1)
    return bits.exp_golomb(), bits.exp_golomb()


def _skip_sub_layers(bits: Bits, count: int) -> None:
    if not count:
        return
    flags = [(bits.take(1), bits.take(1)) for _ in range(count)]
    bits.take(2 * (SUB_LAYERS - count))
    for has_profile, has_level in flags:
        bits.take(88 * has_profile + 8 * has_level)


def _canvas(grid: bytes) -> Size:
    """The size of what a grid's tiles make up."""
    reader = Reader(grid)
    reader.take(1)  # version
    number = 4 if reader.number(1) & 1 else 2
    reader.take(2)  # rows and columns
    return reader.number(number), reader.number(number)


def _require_no_parameters(content: bytes) -> None:
    """Raise UnreadablePicture when a picture brings sizes of its own, as `hvc1` may not."""
    reader = Reader(content)
    while not reader.is_done:
        if _type(bytes(reader.take(reader.number(4))[:1])) in PARAMETER_SETS:
            raise UnreadablePicture
