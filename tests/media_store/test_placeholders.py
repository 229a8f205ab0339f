"""BlurHash and the dominant colour."""

import pytest
from PIL import Image

from media_store.placeholders import blurhash, dominant_colour, encode_blurhash
from tests.media_store.pictures import decode, sample


def small(name: str) -> Image.Image:
    return decode(sample(name)).convert("RGB").resize((32, 24), Image.Resampling.NEAREST)


# What the port of the reference implementation to Python makes of the same pixels (blurhash 1.1.5).
KNOWN = {
    ("photos/rocket.jpg", 4, 3): "L87w~i%j9abH0NM|-SjZv_jCRkj[",
    ("photos/rocket.jpg", 3, 4): "T87w~i%j9a0NM|-Sv_jCRkS*o#s.",
    ("photos/rocket.jpg", 1, 1): "007w~i",
    ("photos/coffee.png", 4, 3): "LSJ=.NS4wI$%~AIp9aIpXSS4S1Na",
    ("photos/chelsea.png", 3, 4): "T7HdT$=DyZITx]V@S*%M$$,ps,X9",
    ("formats/hopper.png", 4, 3): "LQE2nlvc17NH%OaINfbd9[b_#*xF",
}


@pytest.mark.parametrize(("name", "across", "down"), KNOWN)
def test_it_is_the_blurhash_of_the_reference(name, across, down):
    assert encode_blurhash(small(name), across, down) == KNOWN[name, across, down]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [("black", "L00000fQfQfQfQfQfQfQfQfQfQfQ"), ("red", "L*TI:j|cfQ|c]9sUfQsUfQfQfQfQ")],
)
def test_one_colour_has_the_blurhash_of_the_reference(colour, expected):
    assert encode_blurhash(Image.new("RGB", (5, 7), colour), 4, 3) == expected


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("size", [(1, 1), (320, 1), (3, 320), (320, 213)])
def test_every_size_and_mode_has_both(mode, size):
    image = Image.new(mode, size)
    assert len(blurhash(image)) == 28
    assert len(dominant_colour(image)) == 7


def test_a_standing_picture_has_more_components_down_than_across():
    assert blurhash(Image.new("RGB", (3, 2)))[0] == "L"
    assert blurhash(Image.new("RGB", (2, 3)))[0] == "T"


def test_the_dominant_colour_is_that_of_most_of_the_picture():
    image = Image.new("RGB", (300, 200), "#c81e32")
    image.paste("#0a64c8", (0, 0, 100, 200))
    assert dominant_colour(image) == "#c81e32"


def test_what_is_transparent_is_taken_as_white():
    assert dominant_colour(Image.new("RGBA", (30, 20), (0, 0, 0, 0))) == "#ffffff"
    assert blurhash(Image.new("RGBA", (30, 20), (0, 0, 0, 0))) == blurhash(
        Image.new("RGB", (30, 20), "white")
    )
