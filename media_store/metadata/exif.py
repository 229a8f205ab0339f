"""The one tag of EXIF that a picture needs to be shown upright.

The block of tags is a TIFF file without pixels: Exif 2.32 (CIPA DC-008), section 4.5.
"""

from typing import Literal

PREFIX = b"Exif\0\0"  # stands before the block in JPEG, and by mistake in some WebP files
ORIENTATION = 0x0112
UPRIGHT = 1


def read_orientation(block: bytes) -> int:
    """Orientation 1 to 8; 1 when there is none or the block is damaged, as viewers take it."""
    block = block.removeprefix(PREFIX)
    if block[:4] not in {b"II*\0", b"MM\0*"}:
        return UPRIGHT
    order: Literal["big", "little"] = "little" if block[:2] == b"II" else "big"
    directory = int.from_bytes(block[4:8], order)
    entries = directory + 2
    count = int.from_bytes(block[directory:entries], order)
    for entry in range(entries, entries + 12 * count, 12):
        if int.from_bytes(block[entry : entry + 2], order) == ORIENTATION:
            value = int.from_bytes(block[entry + 8 : entry + 10], order)
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def only_orientation(block: bytes) -> bytes:
    """The smallest block of tags that turns the picture as `block` does; empty when it is upright anyway."""
    orientation = read_orientation(block)
    if orientation == UPRIGHT:
        return b""
    header = b"MM\0*" + (8).to_bytes(4, "big")
    one_short = ORIENTATION.to_bytes(2, "big") + b"\0\x03" + b"\0\0\0\x01" + orientation.to_bytes(2, "big")
    return header + b"\0\x01" + one_short + b"\0\0" + b"\0\0\0\0"
