"""From an upload to what is stored: its kind, its size, a clean original and its variants.

All of it is synchronous, takes its time and runs in processes of its own (`decoders/`): it knows no Django.
Nothing but UnsupportedMedia, UnreadablePicture and PayloadTooLarge is raised on purpose.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import BinaryIO, cast

from PIL import AvifImagePlugin, Image, ImageCms, ImageFile
from pillow_heif import register_heif_opener

from media_store import placeholders, shrinking
from media_store.metadata import av1, hevc, strip
from media_store.metadata.exif import read_orientation
from media_store.pictures import KINDS, Kind, PictureInfo, PreparedPicture
from media_store.variants import DISPLAY, SIDES, THUMB
from nanobanana.errors import PayloadTooLarge, UnreadablePicture, UnsupportedMedia

MAX_PIXELS = 40_000_000  # of one frame
MAX_FRAMES = 200
MAX_PIXELS_OF_ALL_FRAMES = 100_000_000
LARGE = 12_000_000  # pixels
HEADER = 65_536  # bytes in which most pictures say how large they are
REDUCING_GAP = 2.0  # times the final size, to which pictures are reduced in a cheaper way
QUALITY = 80
DISPLAY_QUALITY = 92  # of what stands in for an original that browsers do not show
EFFORT = 2  # of WebP's 0 to 6; 4, the default, takes twice as long for one byte in a hundred

# Pillow's own guard, which stands before its allocations, only warns up to twice the limit.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Nothing but the picture itself: no previews, depths and gain maps.
register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# What a decoder would allocate, which those containers say in two places.
CODED_SIZES = {"image/avif": av1.coded_sizes, "image/heic": hevc.coded_sizes}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Modes of pixels with transparency, and those in which their colours are weighted by it.
WEIGHTED = {"RGBA": "RGBa", "LA": "La"}
UNWEIGHTED = {"RGBa": "RGBA", "La": "LA"}
# What turns a picture of this EXIF orientation upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LIES_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
Turn = AbstractContextManager[object]


def clean(file: BinaryIO) -> PreparedPicture:
    """What an upload can be stored with before a pixel of it is decoded; `prepare` may still refuse it."""
    kind, original = _read(file)
    info = _describe(kind, _open(kind, original))
    return PreparedPicture(info, original, sha256=hashlib.sha256(original).hexdigest())


def inspect(file: BinaryIO) -> PictureInfo:
    """Kind and size by the content of the header; no pixel is decoded."""
    kind, original = _read(file)
    return _describe(kind, _open(kind, original))


def make_variant(file: BinaryIO, variant: str, turn: Turn | None = None) -> bytes:
    """An upright WebP in sRGB of the first frame, never larger than the picture, without metadata.

    Decoding takes up to 16 bytes a pixel, 600 MB at the limit, so large pictures wait for their `turn`.
    """
    kind, original = _read(file)
    return _encoded(_scaled(_open(kind, original), SIDES[variant], turn), variant)


def prepare(file: BinaryIO, turn: Turn | None = None) -> PreparedPicture:
    """All that an upload stores; `turn` as above."""
    kind, original = _read(file)
    image = _open(kind, original)
    info = _describe(kind, image)
    small = _scaled(image, SIDES[THUMB], turn)
    return PreparedPicture(
        info=info,
        original=original,
        thumbnail=_encoded(small, THUMB),
        sha256=hashlib.sha256(original).hexdigest(),
        blurhash=placeholders.blurhash(small),
        colour=placeholders.dominant_colour(small),
    )


def _read(file: BinaryIO) -> tuple[Kind, bytes]:
    """The kind of picture and its bytes without private metadata, which Pillow therefore never parses."""
    file.seek(0)
    data = file.read()
    kind = _kind(data)
    try:
        return kind, strip(data, kind.mime)
    except UnreadablePicture:
        with suppress(UnreadablePicture):
            _open(kind, data[:HEADER])  # that it is too large as well is the answer that helps more
        raise


def _kind(data: bytes) -> Kind:
    for kind in KINDS:
        if kind.signature.match(data):
            return kind
    raise UnsupportedMedia("Only JPEG, PNG, WebP, GIF, AVIF and HEIC pictures are accepted.")


def _open(kind: Kind, data: bytes) -> Image.Image:
    """Read the header and check the limits."""
    if kind.mime in CODED_SIZES:
        _check_pixels(CODED_SIZES[kind.mime](data))
    with _decoding():
        image = Image.open(io.BytesIO(data), formats=[kind.pillow_format])
        frames = _frames(image)
    if frames > MAX_FRAMES:
        raise PayloadTooLarge(f"A picture may have at most {MAX_FRAMES} frames.")
    _check_pixels([image.size] * frames)
    return image


def _frames(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1)  # only formats that can be animated have it


def _check_pixels(sizes: list[tuple[int, int]]) -> None:
    pixels = [width * height for width, height in sizes]
    if 0 in pixels:
        raise UnreadablePicture("The picture has no pixels.")
    if any(count > MAX_PIXELS for count in pixels):
        raise _too_many_pixels()
    if sum(pixels) > MAX_PIXELS_OF_ALL_FRAMES:
        megapixels = MAX_PIXELS_OF_ALL_FRAMES // 1_000_000
        raise PayloadTooLarge(f"All frames of a picture together may have at most {megapixels} megapixels.")


def _too_many_pixels() -> PayloadTooLarge:
    return PayloadTooLarge(f"A picture may have at most {MAX_PIXELS // 1_000_000} megapixels.")


@contextmanager
def _decoding() -> Iterator[None]:
    """Give what Pillow raises a name of ours; on hostile bytes its decoders raise almost anything."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:
        raise UnreadablePicture from error


def _describe(kind: Kind, image: Image.Image) -> PictureInfo:
    width, height = image.size
    if _orientation(image) in LIES_ON_ITS_SIDE:
        width, height = height, width
    shows_in_browsers = kind.mime != "image/heic" and image.mode != "CMYK"
    return PictureInfo(kind.mime, width, height, _frames(image), shows_in_browsers)


def _orientation(image: Image.Image) -> int:
    return read_orientation(image.info.get("exif") or b"")


def _scaled(image: Image.Image, longest_side: int, turn: Turn | None) -> Image.Image:
    orientation, profile = _orientation(image), image.info.get("icc_profile")
    size = _size_within(image, longest_side)
    is_large = image.width * image.height > LARGE
    with turn if turn and is_large else nullcontext(), _decoding():
        # JPEG is decoded small. `thumbnail` would ask for a square, and lying pictures would come too large.
        image.draft(None, (int(size[0] * REDUCING_GAP), int(size[1] * REDUCING_GAP)))
        small = _in_srgb(_resized(_pixels(image, size), size), profile)
        return small.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else small


def _pixels(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture in a mode that can be resized well, if not in `size` already."""
    if not shrinking.is_worthwhile(image):
        return _with_smooth_colours(image)
    png = cast(io.BytesIO, cast(ImageFile.ImageFile, image).fp).getbuffer()
    factor = int(min(image.width / size[0], image.height / size[1]) / REDUCING_GAP)
    return shrinking.reduced(png, size, factor) if factor > 1 else shrinking.decoded(png)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` in this size, with colours weighted by how opaque they are.

    Pillow would do that too, but forgets to reduce first, which takes three times as long.
    """
    if image.size != size:
        weighted = image.convert(WEIGHTED[image.mode]) if image.mode in WEIGHTED else image
        image = weighted.resize(size, Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP)
    return image.convert(UNWEIGHTED[image.mode]) if image.mode in UNWEIGHTED else image


def _size_within(image: Image.Image, longest_side: int) -> tuple[int, int]:
    scale = min(1.0, longest_side / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _encoded(image: Image.Image, variant: str) -> bytes:
    output = io.BytesIO()
    quality = DISPLAY_QUALITY if variant == DISPLAY else QUALITY
    image.save(output, "WEBP", quality=quality, method=EFFORT)
    return output.getvalue()


def _with_smooth_colours(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        return image.point(lambda value: value / 256).convert("L")
    if image.mode not in {"RGBA", "LA"} and image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert({"P": "RGB", "1": "L"}[image.mode]) if image.mode in {"P", "1"} else image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or RGBA that looks right without a profile."""
    opaque = image.convert({"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode))
    colours = _through_profile(opaque, profile) if profile else opaque.convert("RGB")
    if "A" in image.getbands():
        colours.putalpha(image.getchannel("A"))
    return colours


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        return ImageCms.buildTransform(io.BytesIO(profile), SRGB, image.mode, "RGB").apply(image)
    except ImageCms.PyCMSError:
        return image.convert("RGB")  # viewers too ignore a profile that is damaged or of other colours
