"""Which pictures are accepted, what is said about them, and how their thumbnails look."""

import hashlib
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageStat, features

from media_store import imaging, shrinking
from media_store.imaging import PictureInfo, inspect, make_variant, prepare
from media_store.metadata import hevc
from media_store.metadata.av1 import coded_sizes
from media_store.variants import SIDES
from nanobanana.errors import PayloadTooLarge, UnreadablePicture, UnsupportedMedia
from tests.media_store.pictures import (
    SAMPLES,
    SECRET,
    avif_file,
    box,
    corners,
    decode,
    encode,
    gif_file,
    mime_of,
    photo,
    png_chunk,
    png_header,
    private_exif,
    sample,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def thumbnail_of(data: bytes, variant: str = "thumb") -> Image.Image:
    return decode(make_variant(io.BytesIO(data), variant))


def is_near(colour: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 40) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour, expected, strict=True))


# ---- what is accepted


@pytest.mark.parametrize("feature", ["webp", "avif", "littlecms2", "jpg", "zlib"])
def test_pillow_has_what_is_needed(feature):
    assert features.check(feature)


@pytest.mark.parametrize(
    ("name", "info"),
    [
        ("photos/rocket.jpg", PictureInfo("image/jpeg", 640, 427, 1)),
        ("photos/chelsea.png", PictureInfo("image/png", 451, 300, 1)),
        ("formats/frozenpond.mpo", PictureInfo("image/jpeg", 640, 480, 1)),
        ("formats/iss634.webp", PictureInfo("image/webp", 245, 245, 42)),
        ("formats/dispose_bgnd.gif", PictureInfo("image/gif", 100, 100, 5)),
        ("formats/hopper.avif", PictureInfo("image/avif", 128, 128, 1)),
        ("formats/star.avifs", PictureInfo("image/avif", 159, 159, 5)),
        ("formats/pil_sample_cmyk.jpg", PictureInfo("image/jpeg", 100, 100, 1, shows_in_browsers=False)),
        ("formats/rocket.heic", PictureInfo("image/heic", 300, 200, 1, shows_in_browsers=False)),
        ("formats/rocket_tiles.heic", PictureInfo("image/heic", 300, 200, 1, shows_in_browsers=False)),
        ("hostile/hopper_bad_exif.jpg", PictureInfo("image/jpeg", 500, 500, 1)),
    ],
)
def test_kind_and_size_come_from_the_content(name, info):
    assert inspect(io.BytesIO(sample(name))) == info


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (60, 40)), (3, (60, 40)), (6, (40, 60)), (8, (40, 60))]
)
def test_the_size_is_that_of_the_upright_picture(format, orientation, size):
    info = inspect(io.BytesIO(encode(photo(60, 40), format, exif=private_exif(orientation))))
    assert (info.width, info.height) == size


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello, world", id="text"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="SVG"),
        pytest.param(b"RIFF\x10\0\0\0WAVEfmt \0\0\0\0", id="WAV"),
        pytest.param(box(b"ftyp", b"isom\0\0\0\0mp41") + bytes(64), id="MP4"),
        pytest.param(encode(photo(), "BMP"), id="BMP"),
        pytest.param(encode(photo(), "ICO"), id="ICO"),
        *(
            pytest.param(sample(f"hostile/{name}"), id=name)
            for name in (
                "hopper.dds",
                "hopper.fits",
                "hopper.psd",
                "hopper.tif",
                "crash-0e16d3bfb83be87356d026d66919deaefca44dac.tif",
                "crash-4fb027452e6988530aa5dabee76eecacb3b79f8a.j2k",
            )
        ),
    ],
)
def test_other_kinds_are_refused(data):
    with pytest.raises(UnsupportedMedia):
        inspect(io.BytesIO(data))


@pytest.mark.parametrize(
    "name", ["broken.png", "broken_data_stream.png", "truncated_image.png", "truncated_jpeg.jpg"]
)
def test_a_damaged_picture_is_refused(name):
    with pytest.raises(UnreadablePicture):
        prepare(io.BytesIO(sample(f"hostile/{name}")))


def test_a_picture_whose_pixels_are_damaged_is_refused():
    data = bytearray(sample("photos/coffee.png"))
    data[200_000:200_100] = bytes(100)
    assert inspect(io.BytesIO(data)).width == 600
    with pytest.raises(UnreadablePicture):
        prepare(io.BytesIO(data))


# ---- the limits


def png_of_black(width: int, height: int) -> bytes:
    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_header(width, height) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def test_a_small_file_of_very_many_pixels_is_refused():
    data = png_of_black(13_000, 13_000)
    assert len(data) < 3_000_000
    with pytest.raises(PayloadTooLarge, match="at most 40 megapixels"):
        prepare(io.BytesIO(data))


@pytest.mark.parametrize(
    ("width", "height", "refusal"),
    [
        (8000, 5000, UnreadablePicture),
        (8000, 5001, PayloadTooLarge),
        (100_000, 100_000, PayloadTooLarge),
        (0, 5, UnreadablePicture),
    ],
)
def test_the_limit_is_checked_before_any_pixel_is_looked_for(width, height, refusal):
    with pytest.raises(refusal):
        prepare(io.BytesIO(png_header(width, height) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")))


def test_a_picture_that_is_cut_short_and_too_large_is_called_too_large():
    with pytest.raises(PayloadTooLarge):
        prepare(io.BytesIO(sample("hostile/decompression_bomb.gif")))
    with pytest.raises(PayloadTooLarge):
        prepare(io.BytesIO(png_header(13_000, 13_000) + png_chunk(b"IDAT", bytes(99))[:50]))


def test_an_animation_may_have_200_frames():
    assert inspect(io.BytesIO(gif_file(10, 10, frames=200))).frames == 200
    with pytest.raises(PayloadTooLarge, match="at most 200 frames"):
        inspect(io.BytesIO(gif_file(10, 10, frames=201)))


def test_an_animation_may_have_100_megapixels_in_all():
    assert inspect(io.BytesIO(gif_file(1000, 1000, frames=100))).frames == 100
    with pytest.raises(PayloadTooLarge, match="together may have at most 100 megapixels"):
        inspect(io.BytesIO(gif_file(1000, 1001, frames=100)))


def test_an_avif_that_is_larger_inside_than_it_says_is_refused():
    data = sample("hostile/larger_inside.avif")
    assert Image.open(io.BytesIO(data)).size == (100, 100)
    with pytest.raises(PayloadTooLarge):
        inspect(io.BytesIO(data))


def test_the_sizes_inside_an_avif_are_read_from_its_pictures():
    assert coded_sizes(sample("formats/hopper.avif")) == [(128, 128)]
    assert set(coded_sizes(sample("formats/star.avifs"))) == {(159, 159)}
    assert coded_sizes(encode(Image.new("RGBA", (70, 30), (9, 9, 9, 9)), "AVIF")) == [(70, 30)] * 2


def test_the_size_stands_behind_timing_and_operating_points():
    timing = "1" + "0" * 64 + "1" + "00110" + "1" + "00011" + "0" * 42
    point = "0" * 12 + "01000" + "1" + "1" + "0" * 9 + "1" + "0" * 4
    size = "1111" + "1110" + f"{50_000 - 1:016b}" + f"{20_000 - 1:015b}"
    bits = "000" + "0" + "0" + timing + "1" + "00000" + point + size
    header = int(bits.ljust(8 * 32, "0"), 2).to_bytes(32, "big")
    delimiter, sequence_header = b"\x12\0", bytes([0x0E, 0, len(header)]) + header
    data = avif_file(b"av01", delimiter + sequence_header)
    assert coded_sizes(data) == [(50_000, 20_000)]
    with pytest.raises(PayloadTooLarge):
        inspect(io.BytesIO(data))


def test_an_avif_without_a_picture_inside_is_refused():
    data = sample("formats/hopper.avif")
    start = data.index(b"mdat") + 4
    with pytest.raises(UnreadablePicture):
        inspect(io.BytesIO(data[:start] + bytes(len(data) - start)))


def test_the_sizes_inside_a_heic_are_read_from_its_pictures():
    assert hevc.coded_sizes(sample("formats/rocket.heic")) == [(304, 200)]  # in blocks of 8
    assert sorted(hevc.coded_sizes(sample(TILES))) == [(128, 128)] * 6 + [(300, 200)]
    with_alpha = encode(Image.new("RGBA", (72, 32), (9, 9, 9, 9)), "HEIF")
    assert hevc.coded_sizes(with_alpha) == [(72, 64)] * 2  # at least 64 each way


TILES = "formats/rocket_tiles.heic"


def resized(heic: bytes, old: tuple[int, int], new: tuple[int, int]) -> bytes:
    """A HEIC whose container says another size than its pictures have."""
    before, after = (b"ispe" + struct.pack(">III", 0, *size) for size in (old, new))
    assert before in heic
    return heic.replace(before, after)


def test_a_heic_that_is_larger_inside_than_it_says_is_refused(monkeypatch):
    monkeypatch.setattr(imaging, "MAX_PIXELS", 200 * 200)
    inspect(io.BytesIO(encode(photo(96, 64), "HEIF")))
    with pytest.raises(PayloadTooLarge):
        inspect(io.BytesIO(resized(sample("formats/rocket.heic"), (300, 200), (30, 20))))
    tiles = resized(sample(TILES), (300, 200), (30, 20))  # each is small enough, but not the grid
    with pytest.raises(PayloadTooLarge):
        inspect(io.BytesIO(tiles))


def test_a_heic_of_many_tiles_is_refused(monkeypatch):
    monkeypatch.setattr(imaging, "MAX_PIXELS_OF_ALL_FRAMES", 300 * 200 + 5 * 128 * 128)
    with pytest.raises(PayloadTooLarge, match="together"):
        inspect(io.BytesIO(sample(TILES)))


def altered_heics() -> dict[str, bytes]:
    """Files that could make a decoder work without end, or on other sizes than we read."""
    data, tiles = sample("formats/rocket.heic"), sample(TILES)
    references = tiles.index(b"dimg") + 4
    grid_id = tiles[references : references + 2]
    first_unit = data.index(b"mdat") + 4
    return {
        "a grid of itself": tiles[: references + 4] + grid_id + tiles[references + 6 :],
        "a sequence alone": data.replace(b"meta", b"free") + box(b"moov", b""),
        "two lists of items": data + box(b"meta", bytes(4)),
        "no list of items": data.replace(b"meta", b"free"),
        "no sizes": data.replace(b"hvcC", b"free"),
        "sizes of its own": data[: first_unit + 4] + bytes([33 << 1]) + data[first_unit + 5 :],
        "an AV1 inside": tiles.replace(b"hvc1", b"av01", 1),
        "an overlay": tiles.replace(b"grid", b"iovl"),
    }


@pytest.mark.parametrize("alteration", altered_heics())
def test_a_heic_that_is_not_clear_about_its_sizes_is_refused(alteration):
    with pytest.raises(UnreadablePicture):
        inspect(io.BytesIO(altered_heics()[alteration]))


def test_of_a_heic_that_moves_the_still_picture_alone_is_kept():
    still = sample("formats/rocket.heic")
    tracks = box(b"mvhd", bytes(100)) + box(b"trak", box(b"tkhd", bytes(84)))
    picture = prepare(io.BytesIO(still + box(b"moov", tracks)))
    assert picture.info == inspect(io.BytesIO(still))
    assert picture.thumbnail == prepare(io.BytesIO(still)).thumbnail
    assert picture.original == still + box(b"free", bytes(len(tracks)))


# ---- thumbnails


@pytest.mark.parametrize("name", SAMPLES)
def test_a_thumbnail_is_a_small_webp_without_metadata(name):
    data = sample(name)
    thumbnail = thumbnail_of(data)
    info = inspect(io.BytesIO(data))
    assert thumbnail.format == "WEBP"
    assert max(thumbnail.size) == min(320, max(info.width, info.height))
    assert abs(thumbnail.width / thumbnail.height - info.width / info.height) < 0.01
    assert thumbnail.info.keys() <= {"loop", "background", "timestamp", "duration"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_upright(format, orientation):
    lying = corners(400, 400)
    for step in SIDEWAYS[orientation]:
        lying = lying.transpose(step)
    data = encode(lying.resize((600, 400)), format, quality=95, exif=private_exif(orientation))
    thumbnail = thumbnail_of(data)
    width, height = thumbnail.size
    assert (width, height) == ((213, 320) if orientation > 4 else (320, 213))
    seen = [thumbnail.getpixel((x, y)) for y in (9, height - 9) for x in (9, width - 9)]
    assert all(map(is_near, seen, [RED, GREEN, BLUE, WHITE]))


# How a camera that writes this orientation stored the upright picture.
SIDEWAYS = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_TOP_BOTTOM],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT],
    8: [Image.Transpose.ROTATE_270],
}


def test_each_variant_has_its_size_and_none_is_larger_than_the_picture():
    data = encode(photo(1500, 900), "JPEG")
    longest = {variant: thumbnail_of(data, variant).width for variant in SIDES}
    assert longest == {"thumb": 320, "small": 640, "medium": 1280, "large": 1500, "display": 1500}
    assert thumbnail_of(encode(photo(30, 300), "PNG"), "large").size == (30, 300)


def test_a_very_long_picture_keeps_at_least_one_pixel_of_height():
    assert thumbnail_of(encode(Image.new("RGB", (4000, 2), "red"), "PNG")).size == (320, 1)


# ---- large PNGs, which have a decoder of their own


def large_picture(mode: str) -> Image.Image:
    image = photo(1201, 803).convert(mode.removesuffix(" with transparency"))
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def large_png(mode: str) -> bytes:
    image = large_picture(mode)
    declared = {"transparency": image.getpixel((5, 5))} if "transparency" in mode else {}
    return encode(image, "PNG", **declared)


LARGE_MODES = ["RGB", "RGBA", "P", "RGB with transparency", "P with transparency"]


@pytest.mark.parametrize("variant", ["thumb", "large"])
@pytest.mark.parametrize("mode", LARGE_MODES)
def test_a_large_png_looks_as_a_decoder_of_all_pixels_has_it(mode, variant, monkeypatch):
    data = large_png(mode)
    quick = thumbnail_of(data, variant)
    monkeypatch.setattr(shrinking, "WORTHWHILE", 10**9)
    exact = thumbnail_of(data, variant)
    assert (quick.mode, quick.size) == (exact.mode, exact.size)
    difference = ImageChops.difference(
        quick.convert("RGBA").convert("RGBa"), exact.convert("RGBA").convert("RGBa")
    )
    assert max(ImageStat.Stat(difference).mean) < 4  # WebP alone loses three


def test_a_large_png_of_16_bits_keeps_its_upper_ones():
    row = b"\0" + struct.pack(">HHH", 0xC0FF, 0x80FF, 0x40FF) * 1000
    header = struct.pack(">IIBBBBB", 1000, 600, 16, 2, 0, 0, 0)
    chunks = (
        png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(row * 600)) + png_chunk(b"IEND", b"")
    )
    assert is_near(thumbnail_of(b"\x89PNG\r\n\x1a\n" + chunks).getpixel((9, 9)), (0xC0, 0x80, 0x40), 3)


@pytest.mark.parametrize("variant", ["thumb", "large"])
@pytest.mark.parametrize("damage", ["cut short", "overwritten", "too few rows"])
def test_a_large_png_that_is_damaged_is_refused(damage, variant):
    data = large_png("RGB")
    middle = len(data) // 2
    if damage == "cut short":
        body = data[8 + 25 + 8 : middle]
        data = png_header(1201, 803) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    elif damage == "overwritten":
        data = data[:middle] + bytes(100) + data[middle + 100 :]
    else:
        rows = zlib.compress(bytes(1 + 3 * 1201) * 400)
        data = png_header(1201, 803) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    with pytest.raises(UnreadablePicture):
        make_variant(io.BytesIO(data), variant)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_large_png_is_upright_in_srgb(orientation):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lying = corners(1200, 800)
    for step in SIDEWAYS[orientation]:
        lying = lying.transpose(step)
    thumbnail = thumbnail_of(encode(lying, "PNG", exif=private_exif(orientation), icc_profile=profile))
    width, height = thumbnail.size
    seen = [thumbnail.getpixel((x, y)) for y in (9, height - 9) for x in (9, width - 9)]
    assert all(map(is_near, seen, [RED, GREEN, BLUE, WHITE]))


def half_transparent(mode: str) -> Image.Image:
    """Opaque on the left, nothing on the right."""
    image = Image.new("RGBA", (400, 200), (200, 200, 200, 255))
    image.paste((0, 0, 0, 0), (200, 0, 400, 200))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("GIF", "RGBA"),
        ("WEBP", "RGBA"),
        ("AVIF", "RGBA"),
        ("HEIF", "RGBA"),
    ],
)
def test_transparency_is_kept(format, mode):
    thumbnail = thumbnail_of(encode(half_transparent(mode), format))
    assert thumbnail.mode == "RGBA"
    assert is_near(thumbnail.getpixel((10, 10)), (200, 200, 200, 255), 6)
    assert thumbnail.getpixel((310, 10))[3] == 0


@pytest.mark.parametrize(("mode", "transparent"), [("RGB", (0, 0, 0)), ("L", 0), ("1", 0)])
def test_a_colour_that_is_declared_transparent_is(mode, transparent):
    image = Image.new("L", (400, 200), 255)
    image.paste(0, (200, 0, 400, 200))
    thumbnail = thumbnail_of(encode(image.convert(mode), "PNG", transparency=transparent))
    assert thumbnail.getpixel((10, 10)) == (255, 255, 255, 255)
    assert thumbnail.getpixel((310, 10))[3] == 0


def test_no_dark_fringe_comes_from_under_the_transparency():
    image = Image.new("RGBA", (640, 640), (0, 0, 0, 0))
    for x in range(0, 640, 2):
        image.paste((255, 255, 255, 255), (x, 0, x + 1, 640))
    red, _, _, alpha = thumbnail_of(encode(image, "PNG")).getpixel((160, 160))
    assert red > 240
    assert 110 < alpha < 145


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK", "RGB"])
def test_every_mode_of_pixels_looks_right(mode):
    bright_left = Image.new("L", (400, 200), 255)
    bright_left.paste(0, (200, 0, 400, 200))
    if mode == "I;16":
        image = Image.new("I;16", (400, 200), 65_535)
        image.paste(0, (200, 0, 400, 200))
    else:
        image = bright_left.convert("RGB").convert(mode)
    thumbnail = thumbnail_of(encode(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert is_near(thumbnail.convert("RGB").getpixel((20, 20)), WHITE, 6)
    assert is_near(thumbnail.convert("RGB").getpixel((300, 20)), (0, 0, 0), 6)


def test_16_bit_grey_keeps_its_middle_tones():
    image = Image.new("I;16", (400, 200), 32_768)
    assert is_near(thumbnail_of(encode(image, "PNG")).getpixel((9, 9)), (128, 128, 128), 3)


def test_16_bit_grey_with_a_transparent_value_is_read():
    image = Image.new("I;16", (40, 20), 40_000)
    data = encode(image, "PNG")
    with_transparency = data[:33] + png_chunk(b"tRNS", struct.pack(">H", 40_000)) + data[33:]
    assert thumbnail_of(with_transparency).size == (40, 20)


def swapped_profile() -> bytes:
    """An sRGB profile that calls red green and green red: nobody can miss whether it was applied."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"????"), (b"gXYZ", b"rXYZ"), (b"????", b"gXYZ")):
        profile = profile.replace(old, new, 1)
    return profile


@pytest.mark.parametrize(
    ("format", "mode"),
    [("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("AVIF", "RGB"), ("HEIF", "RGB")],
)
def test_the_colour_profile_is_applied(format, mode):
    red = Image.new(mode, (50, 50), "red")
    thumbnail = thumbnail_of(encode(red, format, icc_profile=swapped_profile()))
    assert is_near(thumbnail.convert("RGB").getpixel((20, 20)), GREEN)
    assert is_near(thumbnail_of(encode(red, format)).convert("RGB").getpixel((20, 20)), RED)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_a_profile_that_is_damaged_or_of_other_colours_is_passed_over(mode):
    profile = b"no profile" if mode == "RGB" else swapped_profile()
    white = Image.new("RGB", (50, 50), "white").convert(mode)
    thumbnail = thumbnail_of(encode(white, "JPEG", icc_profile=profile))
    assert is_near(thumbnail.getpixel((20, 20)), WHITE, 6)


def test_the_thumbnail_of_an_animation_is_its_first_frame():
    images = [Image.new("RGB", (50, 50), colour) for colour in ("red", "lime", "blue")]
    for format in ("GIF", "WEBP", "PNG", "AVIF"):
        data = encode(images[0], format, save_all=True, append_images=images[1:])
        assert inspect(io.BytesIO(data)).frames == 3
        assert is_near(thumbnail_of(data).convert("RGB").getpixel((20, 20)), RED)


# ---- all at once


@pytest.mark.parametrize("name", SAMPLES)
def test_an_upload_is_prepared_in_one_go(name):
    file = io.BytesIO(sample(name))
    file.read(7)  # wherever a parser of the request left it
    prepared = prepare(file)
    assert prepared.info == inspect(file)
    assert prepared.info.mime == mime_of(name)
    assert prepared.thumbnail == make_variant(file, "thumb")
    assert prepared.sha256 == hashlib.sha256(prepared.original).hexdigest()


def test_an_upload_loses_its_position():
    data = encode(photo(), "JPEG", exif=private_exif(6))
    assert Image.open(io.BytesIO(data)).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    prepared = prepare(io.BytesIO(data))
    assert SECRET not in prepared.original
    assert dict(Image.open(io.BytesIO(prepared.original)).getexif()) == {ExifTags.Base.Orientation: 6}
    assert (prepared.info.width, prepared.info.height) == (40, 60)


def test_large_pictures_are_prepared_from_several_threads():
    data = encode(Image.new("1", (4000, 3500)), "PNG")
    with ThreadPoolExecutor(3) as pool:
        prepared = list(pool.map(prepare, [io.BytesIO(data) for _ in range(3)]))
    assert {upload.thumbnail for upload in prepared} == {make_variant(io.BytesIO(data), "thumb")}
