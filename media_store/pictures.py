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
class PictureBytes:
    """What is stored of a picture."""

    original: bytes  # the upload without what names a place or a person
    thumbnail: bytes  # WebP
    sha256: str  # of `original`, hexadecimal


@dataclass(frozen=True)
class PreparedPicture(PictureBytes):
    info: PictureInfo
    blurhash: str
    colour: str  # the one most of it has, #rrggbb
