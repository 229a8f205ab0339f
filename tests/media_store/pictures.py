"""Pictures for tests: the shipped samples, and small ones made to order."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from media_store import imaging  # noqa: F401 - it has Pillow know HEIF, also where a test runs alone

DATA = Path(__file__).resolve().parent.parent / "data"
SECRET = b"5 Hidden Lane"  # stands in every kind of private metadata that the tests write
MIME_OF_SUFFIX = {
    ".jpg": "image/jpeg",
    ".mpo": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".avifs": "image/avif",
    ".heic": "image/heic",
}
SAMPLES = sorted(
    path.relative_to(DATA).as_posix() for path in [*DATA.glob("photos/*"), *DATA.glob("formats/*")]
)


def sample(name: str) -> bytes:
    return (DATA / name).read_bytes()


def mime_of(name: str) -> str:
    return MIME_OF_SUFFIX[Path(name).suffix]


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    output = io.BytesIO()
    if format == "HEIF" and "exif" in options:
        options["exif"] = options["exif"].tobytes()  # of other forms its plugin reads no orientation
    image.save(output, format, **options)
    return output.getvalue()


def decode(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def frames(data: bytes) -> list[tuple[str, tuple[int, int], bytes]]:
    """Mode, size and pixels of every frame."""
    image = Image.open(io.BytesIO(data))
    found = []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        found.append((image.mode, image.size, image.tobytes()))
    return found


def photo(width: int = 60, height: int = 40) -> Image.Image:
    return decode(sample("photos/rocket.jpg")).resize((width, height))


def corners(width: int, height: int) -> Image.Image:
    """Red, green, blue and white: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", (2, 2))
    for position, colour in zip(
        ((0, 0), (1, 0), (0, 1), (1, 1)), ("red", "lime", "blue", "white"), strict=True
    ):
        image.putpixel(position, Image.new("RGB", (1, 1), colour).getpixel((0, 0)))
    return image.resize((width, height), Image.Resampling.NEAREST)


def black_picture(width: int, height: int) -> bytes:
    """As many pixels as you like in a few kilobytes."""
    return encode(Image.new("1", (width, height)), "PNG")


def wordy_picture() -> bytes:
    """A small PNG with a text many times its size, which is cut out of what is stored."""
    text = PngInfo()
    text.add_text("Comment", "private " * 5000)
    return encode(corners(64, 48), "PNG", pnginfo=text)


def private_exif(orientation: int = 1) -> Image.Exif:
    """A block of tags with a position, maker notes, a description and a preview's worth of bytes."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.ImageDescription] = SECRET.decode()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = SECRET
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (48.0, 51.0, 29.6),
            ExifTags.GPS.GPSAreaInformation: SECRET,
        }
    )
    return exif


def private_xmp() -> bytes:
    return b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(payload)) + payload


def png_chunk(type: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + type + body + struct.pack(">I", zlib.crc32(type + body))


def png_header(width: int, height: int) -> bytes:
    """The signature and the header of a PNG, 8 bits RGB, without any pixels."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def webp_chunk(type: bytes, body: bytes) -> bytes:
    return type + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def webp_file(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def gif_file(width: int, height: int, frames: int) -> bytes:
    """A GIF of two colours whose frames draw one pixel each."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return screen + frame * frames + b";"


def box(type: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + type + body


def with_box_inside(data: bytes, path: list[bytes], extra: bytes) -> bytes:
    """`data` with one box more at the end of the first box at `path`. What lies behind it moves."""
    start = 0
    for type in path:
        start = data.index(type, start) - 4
        size = int.from_bytes(data[start : start + 4])
        data = data[:start] + struct.pack(">I", size + len(extra)) + data[start + 4 :]
    return data[: start + size] + extra + data[start + size :]


def metadata_track(sample_offset: int, sample_size: int) -> bytes:
    """A `trak` of one sample that describes the picture, such as where it was taken."""
    tables = {
        b"stsd": struct.pack(">I", 1) + box(b"mett", bytes(6) + b"\0\1\0application/rdf+xml\0"),
        b"stts": struct.pack(">III", 1, 1, 1000),
        b"stsc": struct.pack(">IIII", 1, 1, 1, 1),
        b"stsz": struct.pack(">III", 0, 1, sample_size),
        b"stco": struct.pack(">II", 1, sample_offset),
    }
    stbl = b"".join(box(type, bytes(4) + table) for type, table in tables.items())
    handler = box(b"hdlr", bytes(8) + b"meta" + bytes(13))
    media = box(b"mdhd", bytes(24)) + handler + box(b"minf", box(b"nmhd", bytes(4)) + box(b"stbl", stbl))
    return box(b"trak", box(b"tkhd", bytes(84)) + box(b"mdia", media))


def avif_file(type: bytes, payload: bytes, *, version: int = 0, in_idat: bool = False) -> bytes:
    """An AVIF with one item, listed in tables of the given version."""
    start = box(b"ftyp", b"avif\0\0\0\0avifmif1")
    offset = 0 if in_idat else len(start) + len(_avif_meta(type, payload, 0, version, in_idat)) + 8
    meta = _avif_meta(type, payload, offset, version, in_idat)
    return start + meta + box(b"mdat", bytes(len(payload)) if in_idat else payload)


def _avif_meta(type: bytes, payload: bytes, offset: int, version: int, in_idat: bool) -> bytes:
    number = ">I" if version == 2 else ">H"
    item_id = struct.pack(number, 7)
    entry = box(b"infe", bytes([3 if version == 2 else 2, 0, 0, 0]) + item_id + b"\0\0" + type + b"name\0")
    count = struct.pack(">I" if version else ">H", 1)
    types = box(b"iinf", bytes([1 if version else 0, 0, 0, 0]) + count + entry)
    method = struct.pack(">H", 1 if in_idat else 0) if version else b""
    place = item_id + method + b"\0\0" + struct.pack(">HII", 1, offset, len(payload))
    places = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0x00]) + struct.pack(number, 1) + place)
    return box(b"meta", bytes(4) + types + places + (box(b"idat", payload) if in_idat else b""))
