"""Large PNGs, decoded by libvips: it reduces them row by row, in half the time and with little memory.

Only its loader of PNG is ever called, by name, on what was found to be a PNG.
"""

import pyvips
from PIL import Image

WORTHWHILE = 500_000  # pixels
MODES = frozenset({"RGB", "RGBA", "P"})  # as Pillow calls colours; grey is quick enough
OPAQUE, TRANSPARENT = 3, 4  # bands

pyvips.cache_set_max(0)  # nothing of a picture stays


def is_worthwhile(image: Image.Image) -> bool:
    is_large = image.width * image.height >= WORTHWHILE
    return is_large and image.format == "PNG" and image.mode in MODES and getattr(image, "n_frames", 1) == 1


def decoded(png: bytes | memoryview) -> Image.Image:
    """The picture as RGB or RGBA."""
    image = _loaded(png)
    return _in_pillow(image, "RGB" if image.bands == OPAQUE else "RGBA")


def reduced(png: bytes | memoryview, size: tuple[int, int], factor: int) -> Image.Image:
    """The picture in `size` as RGB or RGBa, which is RGBA with colours weighted by how opaque they are.

    Squares of `factor` pixels are taken together while it is decoded, before it is resized with care.
    """
    image = _loaded(png)
    box = (0.0, 0.0, image.width / factor, image.height / factor)
    if image.bands == TRANSPARENT:
        image = image.premultiply(max_alpha=255).cast("uchar")
    small = image.shrink(factor, factor, ceil=True)
    pixels = _in_pillow(small, "RGB" if small.bands == OPAQUE else "RGBa")
    return pixels.resize(size, Image.Resampling.BICUBIC, box)


def _loaded(png: bytes | memoryview) -> pyvips.Image:
    image = pyvips.Image.pngload_buffer(png, access="sequential", fail_on="error")
    return image.cast("uchar", shift=True) if image.format == "ushort" else image


def _in_pillow(image: pyvips.Image, mode: str) -> Image.Image:
    return Image.frombytes(mode, (image.width, image.height), image.write_to_memory())
