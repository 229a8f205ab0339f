"""What is known of a picture once it was looked at, and the kinds that are accepted."""

import re
from dataclasses import dataclass
from typing import NamedTuple


class Kind(NamedTuple):
    mime: str
    pillow_format: str
    signature: re.Pattern[bytes]


KINDS = (
    Kind("image/jpeg", "JPEG", re.compile(rb"\xff\xd8\xff")),
    Kind("image/png", "PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    Kind("image/webp", "WEBP", re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL)),
    Kind("image/gif", "GIF", re.compile(rb"GIF8[79]a")),
    # The brands of its first box say AVIF: others there, such as heic, share the container only.
    Kind("image/avif", "AVIF", re.compile(rb"....ftyp(?:....){0,16}?avi[fs]", re.DOTALL)),
    Kind("image/heic", "HEIF", re.compile(rb"....ftyp(?:....){0,16}?hei[cxms]", re.DOTALL)),
)


@dataclass(frozen=True)
class PictureInfo:
    mime: str
    width: int  # in pixels, upright
    height: int
    frames: int
    shows_in_browsers: bool = True


@dataclass(frozen=True)
class CompressedOriginal:
    content: bytes
    sha256: str  # of `content`, hexadecimal


@dataclass(frozen=True)
class PreparedPicture:
    """What is stored of a picture; while it was only cleaned, what needs its pixels is missing."""

    info: PictureInfo
    original: bytes  # the upload without what names a place or a person
    sha256: str  # of `original`, hexadecimal
    thumbnail: bytes = b""  # WebP
    blurhash: str | None = None
    colour: str | None = None  # the one most of it has, #rrggbb
