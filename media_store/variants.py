"""The forms in which a picture can be had, by name."""

ORIGINAL, DISPLAY, THUMB = "original", "display", "thumb"
SIZES = {THUMB: 320, "small": 640, "medium": 1280, "large": 2048}  # the longest side, in pixels
# The display variant stands in for an original that browsers do not show.
SIDES = {**SIZES, DISPLAY: SIZES["large"]}
VARIANTS = (ORIGINAL, DISPLAY, *SIZES)
MIME = "image/webp"


def sizes_of(width: int, height: int) -> list[str]:
    """Those that differ for a picture of this size: the last one is as large as the picture, or `large`."""
    names = []
    for name, side in SIZES.items():
        names.append(name)
        if side >= max(width, height):
            break
    return names


def fitting(variant: str, *, width: int, height: int, shows_in_browsers: bool) -> str:
    """The variant that looks like the one asked for and is kept once: none is larger than the picture."""
    if variant == DISPLAY and shows_in_browsers:
        return ORIGINAL
    sizes = sizes_of(width, height)
    return variant if variant in {ORIGINAL, DISPLAY, *sizes} else sizes[-1]
