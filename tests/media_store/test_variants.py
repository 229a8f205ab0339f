"""The sizes of a picture: which there are, how they are made and kept, and when they are gone."""

import asyncio
import io
from typing import Any

import pytest

from media_store import decoding, rendering
from media_store.decoding import make_variant
from media_store.links import media_url
from media_store.models import Image
from media_store.storage import get_storage
from media_store.variants import fitting, sizes_of
from nanobanana.redisdb.client import get_client
from tests.media_store.pictures import (
    SECRET,
    corners,
    decode,
    encode,
    frames,
    photo,
    private_exif,
    private_xmp,
    sample,
)
from tests.media_store.uploads import key_of, keys_of, stored_keys
from tests.support.people import Person

LARGE = encode(photo(1500, 900), "JPEG")


async def fetch(person: Person, url: str, **headers: str) -> Any:
    return await person.phone.http.get(url.removeprefix("http://testserver"), headers=headers)


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"], LARGE)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The variants that the server in this process makes."""
    names: list[str] = []

    async def make_and_tell(file: io.BytesIO, variant: str) -> bytes:
        names.append(variant)
        return await make_variant(file, variant)

    monkeypatch.setattr(decoding, "make_variant", make_and_tell)
    return names


# ---- which there are
@pytest.mark.parametrize(
    ("size", "names"),
    [
        ((1, 1), ["thumb"]),
        ((320, 200), ["thumb"]),
        ((200, 321), ["thumb", "small"]),
        ((640, 640), ["thumb", "small"]),
        ((1280, 1), ["thumb", "small", "medium"]),
        ((1281, 1), ["thumb", "small", "medium", "large"]),
        ((9000, 4000), ["thumb", "small", "medium", "large"]),
    ],
)
def test_a_picture_has_the_sizes_up_to_its_own(size: tuple[int, int], names: list[str]) -> None:
    assert sizes_of(*size) == names


def test_of_sizes_that_would_be_equal_one_is_kept() -> None:
    shown = {"width": 500, "height": 300, "shows_in_browsers": True}
    wanted = ("original", "thumb", "small", "medium", "large", "display")
    assert [fitting(name, **shown) for name in wanted] == [
        "original",
        "thumb",
        "small",
        "small",
        "small",
        "original",
    ]
    assert fitting("display", width=500, height=300, shows_in_browsers=False) == "display"


async def test_each_has_its_size_and_is_upright(alice: Person, session: dict[str, Any]) -> None:
    lying = encode(corners(1500, 750), "JPEG", exif=private_exif(orientation=6))
    image = await alice.make_image(session["id"], lying)
    assert list(image["variants"]) == ["thumb", "small", "medium", "large"]
    assert image["variants"]["thumb"] == image["thumbPath"]
    for (name, url), height in zip(image["variants"].items(), (320, 640, 1280, 1500), strict=True):
        answer = await fetch(alice, url)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp"), name
        shown = decode(answer.content)
        assert (shown.format, shown.size) == ("WEBP", (height // 2, height))
        red, green, blue = shown.convert("RGB").getpixel((shown.width - 5, 5))
        assert min(red, 255 - green, 255 - blue) > 180  # top left, before it was turned to the right


async def test_what_it_is_told_by_is_answered_and_stored(alice: Person, image: dict[str, Any]) -> None:
    stored = await Image.objects.aget(alice.id, image["id"])
    assert (image["blurhash"], image["dominantColor"]) == (stored.blurhash, stored.colour)
    assert image["sha256"] == stored.sha256
    assert len(image["blurhash"]) == 28
    assert image["dominantColor"].startswith("#")


async def test_a_picture_stored_before_there_were_any_has_them_too(
    alice: Person, image: dict[str, Any]
) -> None:
    key = f"nb:{{u:{alice.id}}}:image:{image['id']}"
    assert await get_client().hdel(key, "blurhash", "colour", "shows_in_browsers") == 3
    read = (await alice.get(f"/api/images/{image['id']}")).json()["image"]
    assert read == {**image, "blurhash": None, "dominantColor": None}
    assert (await fetch(alice, read["variants"]["small"])).status_code == 200


# ---- what stands in for originals that browsers do not show
@pytest.mark.parametrize("name", ["rocket.heic", "rocket_tiles.heic", "pil_sample_cmyk.jpg"])
async def test_browsers_are_shown_something_else_and_the_original_stays(
    alice: Person, session: dict[str, Any], name: str
) -> None:
    content = sample(f"formats/{name}")
    image = await alice.make_image(session["id"], content)
    assert image["displayPath"] != image["path"]
    original = await fetch(alice, image["path"])
    assert original.headers["Content-Type"] == image["mime"]
    assert frames(original.content) == frames(content)
    shown = await fetch(alice, image["displayPath"])
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
    assert decode(shown.content).size == (image["width"], image["height"])


async def test_what_browsers_show_is_shown_as_it_is(alice: Person, session: dict[str, Any]) -> None:
    for name in ("hopper.png", "hopper.avif", "hopper.gif", "hopper_gray.jpg", "frozenpond.mpo"):
        image = await alice.make_image(session["id"], sample(f"formats/{name}"))
        assert image["displayPath"] == image["path"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
async def test_none_names_a_place_or_a_person(alice: Person, session: dict[str, Any], format: str) -> None:
    options = {} if format == "PNG" else {"xmp": private_xmp()}
    content = encode(photo(700, 500), format, exif=private_exif(orientation=6), **options)
    image = await alice.make_image(session["id"], content)
    for url in (image["path"], image["displayPath"], *image["variants"].values()):
        answer = await fetch(alice, url)
        assert answer.status_code == 200
        assert SECRET not in answer.content
        assert not decode(answer.content).getexif().get_ifd(0x8825)  # the position


# ---- how they are made and kept
async def test_the_thumbnail_is_ready_and_the_others_are_made_when_asked_for(
    alice: Person, image: dict[str, Any], made: list[str]
) -> None:
    assert await stored_keys(alice.id) == await keys_of(image)
    for url in image["variants"].values():
        first, second = await fetch(alice, url), await fetch(alice, url)
        assert first.content == second.content
    assert made == ["small", "medium", "large"]
    names = ["large", "medium", "original", "small", "thumb"]
    assert await stored_keys(alice.id) == await keys_of(image, *names)


async def test_however_many_ask_one_is_made(alice: Person, image: dict[str, Any], made: list[str]) -> None:
    answers = await asyncio.gather(*[fetch(alice, image["variants"]["medium"]) for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert made == ["medium"]
    assert not rendering._under_way


async def test_two_processes_make_the_same(alice: Person, image: dict[str, Any]) -> None:
    record = await Image.objects.aget(alice.id, image["id"])
    key = await key_of(image, "small")
    sizes = await asyncio.gather(*[rendering._make(record, "small", key) for _ in range(3)])
    assert set(sizes) == {await get_storage().stat(key)}
    assert (await fetch(alice, image["variants"]["small"])).status_code == 200


async def test_who_leaves_does_not_stop_what_others_wait_for(
    alice: Person, image: dict[str, Any], made: list[str]
) -> None:
    record = await Image.objects.aget(alice.id, image["id"])
    first = asyncio.create_task(rendering.size_of(record, "large"))
    second = asyncio.create_task(rendering.size_of(record, "large"))
    while not rendering._under_way:  # noqa: ASYNC110  # what is waited for is in a task
        await asyncio.sleep(0)
    first.cancel()
    assert await second > 0
    assert made == ["large"]


async def test_a_part_and_what_one_has_already_can_be_asked_for(alice: Person, image: dict[str, Any]) -> None:
    tags = set()
    for url in image["variants"].values():
        whole = await fetch(alice, url)
        tag = whole.headers["ETag"]
        assert (await fetch(alice, url, **{"If-None-Match": tag})).status_code == 304
        part = await fetch(alice, url, Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert "immutable" in whole.headers["Cache-Control"]
        tags.add(tag)
    assert len(tags) == len(image["variants"])


async def test_only_names_of_ours_are_made_even_of_signed_addresses(
    alice: Person, image: dict[str, Any], made: list[str]
) -> None:
    for variant in ("huge", "2048", "small.webp", "..", ""):
        answer = await fetch(alice, media_url(alice.id, image["id"], variant))
        assert answer.status_code in {403, 404}, variant
    parts = image["variants"]["small"].replace("/small?", "/large?")
    assert (await fetch(alice, parts)).status_code == 403
    assert made == []


# ---- when they are gone
async def test_they_go_with_the_picture(alice: Person, image: dict[str, Any]) -> None:
    for url in image["variants"].values():
        await fetch(alice, url)
    await alice.delete(f"/api/images/{image['id']}")
    assert await stored_keys(alice.id) == []
    for url in image["variants"].values():
        assert (await fetch(alice, url)).status_code == 404


async def test_one_that_is_made_while_the_picture_is_deleted_does_not_stay(
    alice: Person, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def make_later(file: io.BytesIO, variant: str) -> bytes:
        begun.set()
        await may_end.wait()
        return await make_variant(file, variant)

    monkeypatch.setattr(decoding, "make_variant", make_later)
    asked = asyncio.create_task(fetch(alice, image["variants"]["small"]))
    await begun.wait()
    await alice.delete(f"/api/images/{image['id']}")
    may_end.set()
    assert (await asked).status_code == 404
    assert await stored_keys(alice.id) == []


async def test_one_of_a_lost_original_is_not_found(alice: Person, image: dict[str, Any]) -> None:
    await get_storage().delete(await key_of(image, "original"))
    assert (await fetch(alice, image["variants"]["small"])).status_code == 404
    assert not rendering._under_way
