"""What leaves a picture's container, what stays, and that the pixels are untouched."""

import io
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from media_store.imaging import prepare
from media_store.metadata import strip
from media_store.metadata.exif import only_orientation, read_orientation
from nanobanana.errors import PayloadTooLarge, UnreadablePicture, UnsupportedMedia
from tests.media_store.pictures import (
    SAMPLES,
    SECRET,
    avif_file,
    box,
    encode,
    frames,
    jpeg_segment,
    metadata_track,
    mime_of,
    photo,
    png_chunk,
    private_exif,
    private_xmp,
    sample,
    webp_chunk,
    webp_file,
    with_box_inside,
)

ICC = Image.open(io.BytesIO(sample("photos/rocket.jpg"))).info["icc_profile"]
MPO = "formats/frozenpond.mpo"


def first_frame(data: bytes) -> list:
    return frames(data)[:1]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_pixels_of_every_sample_stay_the_same(name):
    data = sample(name)
    before = first_frame(data) if name == MPO else frames(data)
    assert frames(strip(data, mime_of(name))) == before


@pytest.mark.parametrize("name", SAMPLES)
def test_stripping_twice_changes_nothing_more(name):
    once = strip(sample(name), mime_of(name))
    assert strip(once, mime_of(name)) == once


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_that_is_cut_short_is_refused(name):
    data = strip(sample(name), mime_of(name))
    for length in (30, len(data) // 3, len(data) * 9 // 10):
        with pytest.raises(UnreadablePicture):
            prepare(io.BytesIO(data[:length]))


def with_everything_private(format: str, orientation: int) -> bytes:
    """A small picture with position, maker notes, description, XMP, comments, and data behind its end."""
    if format == "JPEG":
        data = encode(
            photo(),
            "JPEG",
            exif=private_exif(orientation),
            xmp=private_xmp(),
            icc_profile=ICC,
            comment=SECRET,
        )
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(SECRET)) + SECRET
        data = data[:2] + jpeg_segment(0xED, iptc) + jpeg_segment(0xEB, SECRET) + data[2:]
    elif format == "PNG":
        data = encode(photo(), "PNG", exif=private_exif(orientation), icc_profile=ICC)
        texts = png_chunk(b"tEXt", b"Comment\0" + SECRET) + png_chunk(
            b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SECRET
        )
        header = 8 + 25
        data = data[:header] + texts + png_chunk(b"prVt", SECRET) + data[header:]
    elif format == "WEBP":
        data = encode(photo(), "WEBP", exif=private_exif(orientation), xmp=private_xmp(), icc_profile=ICC)
        data = webp_file(data[12:] + webp_chunk(b"PRVT", SECRET))
    else:
        data = encode(photo(), format, exif=private_exif(orientation), xmp=private_xmp(), icc_profile=ICC)
        data += box(b"uuid", bytes(16) + SECRET)
    return data + SECRET


# HEIC keeps no tags at all: which way is up stands elsewhere in it, and Pillow has it upright.
HEIC = {"HEIF": "image/heic"}
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif"}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", FORMATS)
def test_nothing_private_is_left_and_the_orientation_and_the_profile_stay(format, orientation):
    data = with_everything_private(format, orientation)
    assert data.count(SECRET) >= 4
    stripped = strip(data, FORMATS[format])
    assert SECRET not in stripped
    assert frames(stripped) == frames(data)
    image = Image.open(io.BytesIO(stripped))
    assert image.info["icc_profile"] == ICC
    assert dict(image.getexif()) in ({}, {ExifTags.Base.Orientation: orientation})
    assert image.getexif().get(ExifTags.Base.Orientation, 1) == orientation
    assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo) == {}
    assert not image.info.keys() & {"xmp", "comment", "photoshop", "Comment", "XML:com.adobe.xmp"}
    assert strip(stripped, FORMATS[format]) == stripped


def test_an_upright_picture_keeps_no_tags_at_all():
    for format, mime in FORMATS.items():
        assert "exif" not in Image.open(io.BytesIO(strip(with_everything_private(format, 1), mime))).info


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_loses_what_is_private_and_keeps_its_pixels_upright(orientation):
    data = with_everything_private("HEIF", orientation)
    assert data.count(SECRET) >= 4
    stripped = strip(data, "image/heic")
    assert SECRET not in stripped
    assert frames(stripped) == frames(data)
    image = Image.open(io.BytesIO(stripped))
    assert image.size == ((40, 60) if orientation > 4 else (60, 40))
    assert image.info["icc_profile"] == ICC
    assert not image.getexif()
    assert strip(stripped, "image/heic") == stripped


def test_a_gif_keeps_how_often_it_repeats_and_loses_comments_and_foreign_extensions():
    images = [photo(), photo().rotate(90)]
    data = encode(
        images[0], "GIF", save_all=True, append_images=images[1:], loop=7, duration=120, comment=SECRET
    )
    first_image = data.index(b"!\xf9")
    xmp = b"!\xff\x0bXMP DataXMP" + bytes([len(SECRET)]) + SECRET + b"\0"
    plain_text = b"!\x01\x0c" + bytes(12) + bytes([len(SECRET)]) + SECRET + b"\0"
    data = data[:first_image] + xmp + plain_text + data[first_image:] + SECRET
    stripped = strip(data, "image/gif")
    assert SECRET not in stripped
    assert frames(stripped) == frames(data)
    image = Image.open(io.BytesIO(stripped))
    assert (image.info["loop"], image.info["duration"], image.n_frames) == (7, 120, 2)
    assert strip(stripped, "image/gif") == stripped


def test_a_gif_without_a_trailer_gets_one():
    data = sample("formats/hopper.gif")
    assert strip(data[:-1], "image/gif") == strip(data, "image/gif")


def test_of_a_multi_picture_jpeg_the_first_picture_stays():
    stripped = strip(sample(MPO), "image/jpeg")
    assert b"MPF\0" not in stripped
    assert stripped.count(b"\xff\xd8\xff") == 1
    assert Image.open(io.BytesIO(stripped)).format == "JPEG"


def test_a_jpeg_loses_comments_between_its_scans():
    data = encode(photo(), "JPEG", progressive=True)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    commented = data[:second_scan] + jpeg_segment(0xFE, SECRET) + data[second_scan:]
    assert strip(commented, "image/jpeg") == strip(data, "image/jpeg")


def test_a_jpeg_loses_the_preview_in_its_jfif_header():
    data = encode(photo(), "JPEG")
    header = b"JFIF\0\1\1\0\0\1\0\1"
    assert data[2:20] == jpeg_segment(0xE0, header + b"\0\0")
    one_pixel = b"\1\1" + b"rgb"
    with_preview = data[:2] + jpeg_segment(0xE0, header + one_pixel) + data[20:]
    assert strip(with_preview, "image/jpeg") == strip(data, "image/jpeg")


def test_the_tags_of_a_png_that_stand_behind_the_pixels_come_to_the_front():
    data = encode(photo(), "PNG")
    tags = png_chunk(b"eXIf", private_exif(6).tobytes().removeprefix(b"Exif\0\0"))
    stripped = strip(data[:-12] + tags + data[-12:], "image/png")
    assert stripped.index(b"eXIf") < stripped.index(b"IDAT")
    assert Image.open(io.BytesIO(stripped)).getexif()[ExifTags.Base.Orientation] == 6


def test_an_animated_png_keeps_its_frames():
    images = [photo(), photo().rotate(90), photo().rotate(180)]
    data = encode(images[0], "PNG", save_all=True, append_images=images[1:], duration=[10, 20, 30])
    stripped = strip(data, "image/png")
    assert len(frames(stripped)) == 3
    assert frames(stripped) == frames(data)


def test_an_animated_webp_loses_what_hides_in_its_frames():
    images = [photo(), photo().rotate(90)]
    data = encode(images[0], "WEBP", save_all=True, append_images=images[1:])
    frame = data.index(b"ANMF")
    size = struct.unpack_from("<I", data, frame + 4)[0]
    longer = webp_chunk(b"ANMF", data[frame + 8 : frame + 8 + size] + webp_chunk(b"PRVT", SECRET))
    hiding = webp_file(data[12:frame] + longer + data[frame + 8 + size :])
    assert strip(hiding, "image/webp") == strip(data, "image/webp")


def test_a_webp_may_lack_its_last_padding_byte():
    data = webp_file(sample("formats/hopper.webp")[12:] + b"PRVT\x01\0\0\0x")
    assert frames(strip(data, "image/webp")) == frames(sample("formats/hopper.webp"))


def test_an_avif_keeps_its_length_so_that_its_offsets_stay_valid():
    data = encode(photo(), "AVIF", exif=private_exif(), xmp=private_xmp())
    stripped = strip(data, "image/avif")
    assert len(stripped) == len(data)
    assert b"xmpmeta" in data
    assert b"xmpmeta" not in stripped


@pytest.mark.parametrize(("version", "in_idat"), [(0, False), (1, False), (1, True), (2, False), (2, True)])
def test_an_avif_may_list_its_items_in_several_ways(version, in_idat):
    data = avif_file(b"mime", SECRET, version=version, in_idat=in_idat)
    assert SECRET in data
    assert SECRET not in strip(data, "image/avif")


def test_an_avif_whose_items_lie_within_other_items_is_refused():
    data = avif_file(b"mime", SECRET, version=1, in_idat=True)
    method = data.index(b"iloc") + 4 + 4 + 2 + 2 + 2
    assert data[method : method + 2] == b"\0\1"
    with pytest.raises(UnreadablePicture, match="not supported"):
        strip(data[:method] + b"\0\2" + data[method + 2 :], "image/avif")


@pytest.mark.parametrize("name", ["formats/hopper.avif", "formats/star.avifs", "formats/rocket.heic"])
def test_bytes_that_nothing_refers_to_are_overwritten(name):
    data = sample(name)
    stripped = strip(data + box(b"mdat", SECRET), mime_of(name))
    assert stripped == strip(data, mime_of(name)) + box(b"mdat", bytes(len(SECRET)))
    assert frames(stripped) == frames(data)


@pytest.mark.parametrize("in_idat", [False, True])
def test_bytes_behind_the_end_of_an_item_are_overwritten(in_idat):
    data = avif_file(b"av01", b"picture" + SECRET, version=1, in_idat=in_idat)
    length = struct.pack(">I", len(b"picture" + SECRET))
    assert data.count(length) == 1
    stripped = strip(data.replace(length, struct.pack(">I", len(b"picture"))), "image/avif")
    assert SECRET not in stripped
    assert b"picture" in stripped


STAR = sample("formats/star.avifs")


def star_with_its_tracks_behind() -> bytes:
    """The animated star, whose `moov` stands last, so that it can grow without moving a picture."""
    start = STAR.index(b"moov") - 4
    end = start + int.from_bytes(STAR[start : start + 4])
    return STAR[:start] + box(b"free", bytes(end - start - 8)) + STAR[end:] + STAR[start:end]


PATH = b"moov trak mdia minf stbl stsd av01".split()


@pytest.mark.parametrize("depth", range(1, len(PATH) + 1))
def test_an_avif_sequence_loses_what_users_wrote_into_it(depth):
    written = with_box_inside(star_with_its_tracks_behind(), PATH[:depth], box(b"udta", SECRET))
    stripped = strip(written, "image/avif")
    assert SECRET in written
    assert SECRET not in stripped
    assert frames(stripped) == frames(STAR)


def test_an_avif_sequence_keeps_no_tracks_but_those_of_pictures():
    data = star_with_its_tracks_behind()
    moov = data.rindex(b"moov") - 4
    data = data[:moov] + box(b"mdat", SECRET) + data[moov:]
    data = with_box_inside(data, [b"moov"], metadata_track(moov + 8, len(SECRET)))
    stripped = strip(data, "image/avif")
    assert SECRET not in stripped
    assert b"mett" not in stripped
    assert frames(stripped) == frames(STAR)
    assert prepare(io.BytesIO(data)).info == prepare(io.BytesIO(STAR)).info


def test_a_heic_keeps_nothing_that_moves():
    still = sample("formats/rocket.heic")
    track = metadata_track(len(still) + 8, len(SECRET))
    track = with_box_inside(track, [b"trak", b"mdia"], box(b"udta", box(b"\xa9xyz", SECRET)))
    moving = still + box(b"mdat", SECRET) + box(b"moov", box(b"mvhd", bytes(100)) + track)
    stripped = strip(moving, "image/heic")
    assert moving.count(SECRET) == 2
    assert stripped == still + box(b"mdat", bytes(len(SECRET))) + box(b"free", bytes(108 + len(track)))


SAMPLE_TABLES = {
    "no handler": (b"hdlr", b"free"),
    "no tables": (b"stbl", b"free"),
    "no chunks": (b"stsc", b"free"),
    "no offsets": (b"stco", b"free"),
    "no sizes": (b"stsz", b"free"),
    "more chunks than the table has": (b"stco\0\0\0\0\0\0\0\1", b"stco\0\0\0\0\0\0\0\2"),
    "countless chunks": (b"stco\0\0\0\0\0\0\0\1", b"stco\0\0\0\0\xff\xff\xff\xff"),
    "a sample behind the end": (b"stsz\0\0\0\0\0\0\0\0", b"stsz\0\0\0\0\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("damage", SAMPLE_TABLES)
def test_an_avif_sequence_whose_samples_cannot_be_found_is_refused(damage):
    before, after = SAMPLE_TABLES[damage]
    moov = STAR.index(b"moov")
    with pytest.raises(UnreadablePicture):
        strip(STAR[:moov] + STAR[moov:].replace(before, after, 1), "image/avif")


def test_a_sequence_of_countless_tracks_is_refused():
    tracks = metadata_track(0, 8) * 101
    with pytest.raises(UnreadablePicture, match="too many parts"):
        strip(with_box_inside(star_with_its_tracks_behind(), [b"moov"], tracks), "image/avif")


def test_a_sequence_of_countless_samples_is_refused():
    per_chunk, every_size = STAR.index(b"stsc") + 16, STAR.index(b"stsz") + 8
    data = bytearray(STAR + box(b"mdat", bytes(600_000)))
    data[per_chunk : per_chunk + 4] = b"\xff" * 4
    data[every_size : every_size + 8] = b"\0\0\0\1\xff\xff\xff\xff"
    with pytest.raises(UnreadablePicture, match="too many parts"):
        strip(bytes(data), "image/avif")


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_either_byte_order(order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    block = mark + struct.pack(order + "IHHHIHH", 8, 1, ExifTags.Base.Orientation, 3, 1, 5, 0)
    assert read_orientation(block) == read_orientation(b"Exif\0\0" + block) == 5
    assert read_orientation(only_orientation(block)) == 5


@pytest.mark.parametrize(
    "block", [b"", b"II", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"nonsense"]
)
def test_a_damaged_block_of_tags_means_upright(block):
    assert read_orientation(block) == 1
    assert only_orientation(block) == b""


def test_a_jpeg_of_too_many_scans_is_refused():
    data = encode(photo(), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    assert strip(data[:-2] + last_scan * 50 + data[-2:], "image/jpeg")
    with pytest.raises(UnreadablePicture, match="scans"):
        prepare(io.BytesIO(data[:-2] + last_scan * 64 + data[-2:]))


GIF_HEADER = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
TOO_MANY_PARTS = {
    "image/jpeg": b"\xff\xd8" + jpeg_segment(0xFE, b"") * 500_000,
    "image/png": b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", bytes(13)) + png_chunk(b"tEXt", b"") * 500_000,
    "image/webp": webp_file(webp_chunk(b"VP8 ", b"") + webp_chunk(b"PRVT", b"") * 500_000),
    "image/gif": GIF_HEADER + b"," + bytes(9) + b"\x02" + b"\x01\0" * 500_000,
}


@pytest.mark.parametrize("mime", TOO_MANY_PARTS)
def test_a_picture_of_countless_parts_is_refused(mime):
    with pytest.raises(UnreadablePicture, match="too many parts"):
        prepare(io.BytesIO(TOO_MANY_PARTS[mime]))


def avif_with_items(locations: bytes, size_of_numbers: int, count: int) -> bytes:
    """An AVIF without pictures whose item table is `locations`."""
    types = b"".join(
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", item, 0) + b"Exif\0") for item in range(count)
    )
    iinf = box(b"iinf", bytes(4) + struct.pack(">H", count) + types)
    iloc = box(b"iloc", bytes(4) + bytes([size_of_numbers * 17, 0]) + struct.pack(">H", count) + locations)
    return (
        box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", bytes(4) + iinf + iloc) + box(b"mdat", bytes(9000))
    )


def test_items_that_share_bytes_without_end_are_refused():
    location = struct.pack(">HHH", 0, 0, 1) + struct.pack(">II", 0, 9000)
    locations = b"".join(struct.pack(">H", item) + location[2:] for item in range(1000))
    with pytest.raises(UnreadablePicture):
        strip(avif_with_items(locations, 4, 1000), "image/avif")


def test_extents_without_end_are_refused():
    locations = b"".join(struct.pack(">HHH", item, 0, 65535) for item in range(100))
    with pytest.raises(UnreadablePicture, match="too many parts"):
        strip(avif_with_items(locations, 0, 100), "image/avif")


FUZZED = {
    "GIF": sample("formats/dispose_bgnd.gif"),
    "AVIF still": sample("formats/hopper.avif"),
    "AVIF sequence": sample("formats/star.avifs"),
    "WebP": sample("formats/transparent.webp"),
    "CMYK": sample("formats/pil_sample_cmyk.jpg"),
    "HEIC grid": sample("formats/rocket_tiles.heic"),
} | {format: with_everything_private(format, 6) for format in FORMATS | HEIC}
# Half of the changes hit the first 600 bytes, where the structure is.
positions = st.one_of(st.integers(0, 600), st.integers(0, 30_000))
changes = st.lists(
    st.tuples(positions, st.integers(0, 8), st.one_of(st.binary(max_size=8), st.just(b"\xff" * 4))),
    min_size=1,
    max_size=5,
)


@given(name=st.sampled_from(sorted(FUZZED)), changes=changes)
@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_changed_in_a_picture_only_our_refusals_come_out(name, changes):
    data = bytearray(FUZZED[name])
    for position, removed, inserted in changes:
        data[position : position + removed] = inserted
    try:
        prepared = prepare(io.BytesIO(data))
    except (UnreadablePicture, UnsupportedMedia, PayloadTooLarge):
        return
    assert strip(prepared.original, prepared.info.mime) == prepared.original
