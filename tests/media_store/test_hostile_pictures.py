"""Real files, hostile ones, bombs and mutations: each ends as designed, and costs little."""

import io
import os
import random
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, ImageChops, ImageOps, ImageStat
from PIL import Image as Picture

from media_store import decoding, imaging
from media_store.decoders.decoder import Decoders, Limits
from nanobanana.errors import PayloadTooLarge, UnreadablePicture, UnsupportedMedia
from tests.media_store.pictures import (
    DATA,
    SAMPLES,
    SECRET,
    decode,
    encode,
    gif_file,
    jpeg_segment,
    photo,
    png_chunk,
    png_header,
    sample,
    webp_chunk,
    webp_file,
)
from tests.media_store.uploads import stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.stress import how_many

PROJECT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("PICTURE_CORPUS", PROJECT.parent / "shared" / "corpus"))
ACCEPTED, DAMAGED, TOO_LARGE, NO_PICTURE = 201, 422, 413, 415
# Of the hostile files; those that are damaged in nothing that counts are as good as others.
ENDS = {
    "broken.png": DAMAGED,
    "broken_data_stream.png": DAMAGED,
    "corrupted.jpg": ACCEPTED,  # all but its last bits, as every viewer shows it
    "crash-0e16d3bfb83be87356d026d66919deaefca44dac.tif": NO_PICTURE,
    "crash-4fb027452e6988530aa5dabee76eecacb3b79f8a.j2k": NO_PICTURE,
    "decompression_bomb.gif": TOO_LARGE,
    "hopper.dds": NO_PICTURE,
    "hopper.fits": NO_PICTURE,
    "hopper.psd": NO_PICTURE,
    "hopper.tif": NO_PICTURE,
    "hopper_bad_exif.jpg": ACCEPTED,
    "larger_inside.avif": TOO_LARGE,
    "truncated_image.png": DAMAGED,
    "truncated_jpeg.jpg": DAMAGED,
}
MEGABYTE = 1024 * 1024
PLACES = [b"GPSLatitude", b"exif:GPS", b"<x:xmpmeta", SECRET]


async def fetch(person: Person, url: str) -> bytes:
    answer = await person.phone.http.get(url.removeprefix("http://testserver"))
    assert answer.status_code == 200
    return answer.content


def upright(data: bytes) -> Picture.Image:
    """The picture as a decoder of its own shows it, 64 pixels each way."""
    with Picture.open(io.BytesIO(data)) as image:
        shown = ImageOps.exif_transpose(image.convert("RGBA"))
        white = Picture.new("RGBA", shown.size, "white")
        return Picture.alpha_composite(white, shown).convert("RGB").resize((64, 64), Picture.Resampling.BOX)


# ---- real files
def of_corpus(folder: str) -> list[Path]:
    return sorted(path for path in (CORPUS / folder).glob("*") if path.is_file())


@pytest.mark.parametrize("name", ["formats/hopper.avif", "formats/frozenpond.mpo", "formats/rocket.heic"])
async def test_a_real_picture_is_kept_and_shown_upright(
    alice: Person, session: dict[str, Any], name: str
) -> None:
    await check_accepted(alice, session, name, sample(name))


async def check_accepted(person: Person, session: dict[str, Any], name: str, data: bytes) -> None:
    image = await person.make_image(session["id"], data)
    original, thumbnail = await fetch(person, image["path"]), await fetch(person, image["thumbPath"])
    shown = decode(thumbnail)
    assert max(shown.size) <= 320, name
    assert abs(shown.width / shown.height - image["width"] / image["height"]) < 0.02, name
    sent = Picture.open(io.BytesIO(data))
    if sent.mode not in {"CMYK", "I;16"}:
        most = 25 if "icc_profile" in sent.info else 8  # which is looked through; turned wrongly it is 60
        difference = ImageChops.difference(upright(data), upright(thumbnail))
        assert max(ImageStat.Stat(difference).mean) < most, name
    assert not any(names_a_place(output) for output in (original, thumbnail)), name
    assert [frame.tobytes() for frame in frames_of(original)] == [f.tobytes() for f in frames_of(data)], name


def names_a_place(data: bytes) -> bool:
    with Picture.open(io.BytesIO(data)) as image:
        position = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    return bool(position) or any(place in data for place in PLACES)


def frames_of(data: bytes) -> Iterator[Picture.Image]:
    with Picture.open(io.BytesIO(data)) as image:
        count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # others of an MPO are previews
        for index in range(count):
            image.seek(index)
            yield image.copy()


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("hostile/*")))
async def test_a_hostile_file_ends_as_designed(alice: Person, session: dict[str, Any], name: str) -> None:
    answer = await alice.upload(session["id"], sample(f"hostile/{name}"))
    assert answer.status_code == ENDS[name], answer.text
    assert bool(await stored_keys(alice.id)) == (answer.status_code == ACCEPTED)


@pytest.mark.long
@pytest.mark.skipif(not CORPUS.is_dir(), reason="PICTURE_CORPUS names no directory of real files")
async def test_every_file_of_the_corpus_ends_as_designed(alice: Person, session: dict[str, Any]) -> None:
    for path in of_corpus("photos") + of_corpus("formats"):
        if path.suffix == ".tif":
            assert (await alice.upload(session["id"], path.read_bytes())).status_code == NO_PICTURE
        else:
            await check_accepted(alice, session, path.name, path.read_bytes())
    for path in of_corpus("hostile"):
        answer = await alice.upload(session["id"], path.read_bytes())
        assert answer.status_code == ENDS[path.name], (path.name, answer.text)
    assert await inconsistencies([alice.id]) == []


# ---- bombs
def deflated(size: int) -> bytes:
    """So many zeros."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE)), packer.flush()])


def png_of(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    return header + b"".join(png_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def with_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    png = encode(photo(), "PNG")
    return png[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + png[33:]


def black_png(width: int, height: int) -> bytes:
    """Of one bit a pixel."""
    rows = deflated((1 + width // 8) * height)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return png_of(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header), (b"IDAT", rows))


def huge_jpeg() -> bytes:
    jpeg = encode(photo(), "JPEG")
    start = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:start] + struct.pack(">HH", 65_000, 65_000) + jpeg[start + 4 :]


BOMBS = {
    "PNG of 13,000 x 13,000": (black_png(13_000, 13_000), TOO_LARGE),
    "PNG of 60,000 x 60,000": (
        png_of(png_header(60_000, 60_000), (b"IDAT", deflated(8 * MEGABYTE))),
        TOO_LARGE,
    ),
    "GIF of 300 frames": (gif_file(600, 600, frames=imaging.MAX_FRAMES + 100), TOO_LARGE),
    "GIF of 65,535 x 65,535": (gif_file(65_535, 65_535, frames=1), TOO_LARGE),
    "JPEG of 65,000 x 65,000": (huge_jpeg(), TOO_LARGE),
    "WebP of 16,384 x 16,384": (
        webp_file(
            webp_chunk(b"VP8X", bytes([0x10, 0, 0, 0]) + b"\xff\x3f\0" * 2) + webp_chunk(b"VP8L", bytes(20))
        ),
        TOO_LARGE,
    ),
    "text of 100 MB in a PNG": (with_chunks((b"zTXt", b"Comment\0\0" + deflated(100 * MEGABYTE))), ACCEPTED),
    "XMP of 100 MB in a PNG": (
        with_chunks((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + deflated(100 * MEGABYTE))),
        ACCEPTED,
    ),
    "a profile of 100 MB in a PNG": (with_chunks((b"iCCP", b"x\0\0" + deflated(100 * MEGABYTE))), DAMAGED),
    "a thousand comments in a JPEG": (
        (jpeg := encode(photo(), "JPEG"))[:2] + jpeg_segment(0xFE, bytes(65_000)) * 100 + jpeg[2:],
        ACCEPTED,
    ),
}


def resident(pid: int | str, name: str) -> int:
    """Bytes of memory of a process: now (`VmRSS`), or at the most (`VmHWM`)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured on Linux")
@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_costs_little(alice: Person, session: dict[str, Any], bomb: str) -> None:
    content, end = BOMBS[bomb]
    decoding.decoders.end()
    await alice.make_image(session["id"], encode(photo(1000, 700), "PNG"))
    (decoder,) = decoding.decoders._idle.queue
    before, server = resident(decoder.pid, "VmHWM"), resident("self", "VmRSS")
    answer = await alice.upload(session["id"], content)
    assert answer.status_code == end, answer.text
    assert list(decoding.decoders._idle.queue) == [decoder]  # it lived through it
    assert resident(decoder.pid, "VmHWM") - before < 50 * MEGABYTE
    assert resident("self", "VmRSS") - server < 50 * MEGABYTE


# ---- mutations
def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes overwritten, cut out, doubled, or taken from elsewhere."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        start = rng.randrange(min(len(content), rng.choice([64, 1024, len(content)])))
        length = rng.choice([1, 2, 4, 16, 200])
        other = rng.randrange(len(content))
        piece = rng.choice(
            [rng.randbytes(length), bytes(length), b"\xff" * length, content[other : other + length]]
        )
        end = start + rng.choice([0, length, len(piece)])
        content[start:end] = piece
    return bytes(content[: rng.choice([len(content), len(content), rng.randrange(1, len(content))])])


@pytest.mark.stress
def test_mutated_files_end_as_pictures_or_as_refusals(tmp_path: Path) -> None:
    rng = random.Random(6)
    decoders = Decoders(tmp_path / "turns", 2, Limits())
    ends: Counter[str] = Counter()
    for number in range(how_many(60, under_stress=2000)):
        name = SAMPLES[number % len(SAMPLES)]
        try:
            answer, written = decoders.ask("prepare", io.BytesIO(mutated(sample(name), rng)))
            written.close()
            ends["accepted"] += 1
            assert answer["info"]["width"] > 0
        except (UnsupportedMedia, UnreadablePicture, PayloadTooLarge) as error:
            ends["too much for a decoder" if "too much" in error.message else error.code] += 1
        (decoder,) = decoders._idle.queue or [None]
        assert decoder is None or resident(decoder.pid, "VmHWM") < 400 * MEGABYTE
    decoders.end()
    assert ends["too much for a decoder"] == 0, ends
    print(dict(ends))  # noqa: T201  # what `make stress` is for
