"""What a client can show in a picture's place before it has it: a blur and a colour.

BlurHash is specified at https://github.com/woltapp/blurhash: the lowest frequencies of a cosine
transformation, as text. What is transparent is taken as white.
"""

from functools import cache
from math import cos, pi
from operator import mul

from PIL import Image

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
MANY, FEW = 4, 3  # components along the longer side and the shorter
SIDE = 16  # pixels that are looked at each way: four times the highest frequency
COLOUR_SIDE = 32
COLOURS = 8  # groups of which the largest is the dominant colour


def blurhash(image: Image.Image) -> str:
    across, down = (MANY, FEW) if image.width >= image.height else (FEW, MANY)
    small = _opaque(image).resize((SIDE, SIDE), Image.Resampling.BOX)
    return encode_blurhash(small, across, down)


def encode_blurhash(image: Image.Image, across: int, down: int) -> str:
    """The BlurHash of all pixels of an RGB picture, with 1 to 9 components each way."""
    channels = [_components(channel, across, down) for channel in image.split()]
    average, *others = zip(*channels, strict=True)
    strength = max((abs(value) for component in others for value in component), default=0.0)
    quantised = max(0, min(82, int(strength * 166 - 0.5)))
    most = (quantised + 1) / 166
    parts = [_base83(across - 1 + (down - 1) * 9, 1), _base83(quantised, 1), _base83(_as_rgb(average), 4)]
    return "".join(parts + [_base83(_as_contrast(component, most), 2) for component in others])


def dominant_colour(image: Image.Image) -> str:
    """`#rrggbb`: the middle of the largest of a few groups of colours."""
    small = _opaque(image).resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.NEAREST)
    grouped = small.quantize(COLOURS, Image.Quantize.MEDIANCUT)
    counts, palette = grouped.histogram(), grouped.getpalette() or [0, 0, 0]
    index = counts.index(max(counts))
    return "#" + bytes(palette[3 * index : 3 * index + 3]).hex()


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _components(channel: Image.Image, across: int, down: int) -> list[float]:
    """How strong each frequency is in one channel, the average first, row by row."""
    width, height = channel.size
    light = _light()
    values = [light[value] for value in channel.tobytes()]
    rows = [values[start : start + width] for start in range(0, len(values), width)]
    waves_across, waves_down = _waves(across, width), _waves(down, height)
    sums = [[sum(map(mul, wave, row)) for row in rows] for wave in waves_across]
    components = [sum(map(mul, wave, column)) for wave in waves_down for column in sums]
    scale = 1 / (width * height)
    return [components[0] * scale, *(2 * scale * value for value in components[1:])]


@cache
def _waves(count: int, length: int) -> list[list[float]]:
    return [[cos(pi * wave * place / length) for place in range(length)] for wave in range(count)]


@cache
def _light() -> list[float]:
    """How much light each value of sRGB is, 0 to 1."""
    shares = [value / 255 for value in range(256)]
    return [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]


def _as_rgb(light: tuple[float, ...]) -> int:
    red, green, blue = map(_srgb, light)
    return red << 16 | green << 8 | blue


def _srgb(light: float) -> int:
    light = max(0.0, min(1.0, light))
    share = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return int(share * 255 + 0.5)


def _as_contrast(component: tuple[float, ...], most: float) -> int:
    red, green, blue = (_step(value / most) for value in component)
    return (red * 19 + green) * 19 + blue


def _step(share: float) -> int:
    """-1 to 1 as 0 to 18, finer around the middle."""
    root = abs(share) ** 0.5
    return max(0, min(18, int((root if share >= 0 else -root) * 9 + 9.5)))


def _base83(value: int, length: int) -> str:
    return "".join(DIGITS[value // 83**place % 83] for place in reversed(range(length)))
