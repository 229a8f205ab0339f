"""GET /api/images/:id/content"""

from typing import Any

import pytest

from tests.media_store.pictures import decode, encode, photo, sample
from tests.media_store.uploads import keys_of, stored_keys
from tests.support.people import Person
from tests.support.strangers import assert_private

CONTENT = encode(photo(700, 500), "PNG")


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"], CONTENT)


def address(image: dict[str, Any], variant: str | None = None) -> str:
    return f"/api/images/{image['id']}/content" + (f"?variant={variant}" if variant is not None else "")


async def test_it_is_the_original_without_a_wish(alice: Person, image: dict[str, Any]) -> None:
    for variant in (None, "original"):
        answer = await alice.get(address(image, variant))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
        assert answer.content == CONTENT


async def test_it_is_what_the_signed_address_gives(alice: Person, image: dict[str, Any]) -> None:
    for name, url in image["variants"].items():
        by_token = await alice.get(address(image, name))
        by_link = await alice.phone.http.get(url.removeprefix("http://testserver"))
        assert (by_token.status_code, by_token.content) == (200, by_link.content)
        assert by_token.headers["ETag"] == by_link.headers["ETag"]


async def test_of_sizes_beyond_its_own_it_has_one(alice: Person, image: dict[str, Any]) -> None:
    for variant in ("medium", "large"):
        answer = await alice.get(address(image, variant))
        assert decode(answer.content).size == (700, 500)
    assert await stored_keys(alice.id) == await keys_of(image, "medium", "original", "thumb")


async def test_what_browsers_show_is_the_original_or_stands_in_for_it(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    assert (await alice.get(address(image, "display"))).content == CONTENT
    heic = await alice.make_image(session["id"], sample("formats/rocket.heic"))
    answer = await alice.get(address(heic, "display"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")


async def test_a_part_its_head_and_what_one_has_can_be_asked_for(
    alice: Person, image: dict[str, Any]
) -> None:
    whole = await alice.get(address(image))
    part = await alice.get(address(image), headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, CONTENT[5:10])
    same = await alice.get(address(image), headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = await alice.laptop.request("HEAD", address(image, "small"))
    assert (head.status_code, head.content) == (200, b"")
    beyond = await alice.get(address(image), headers={"Range": f"bytes={len(CONTENT)}-"})
    assert beyond.status_code == 416


async def test_a_browser_keeps_it_for_this_token_alone(alice: Person, image: dict[str, Any]) -> None:
    headers = (await alice.get(address(image, "small"))).headers
    assert headers["Cache-Control"].startswith("private, max-age=")
    assert "Authorization" in headers["Vary"]


async def test_a_variant_that_is_none_is_refused(alice: Person, image: dict[str, Any]) -> None:
    for variant in ("", "huge", "Small", "../original", "2048"):
        answer = await alice.get(address(image, variant))
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["variant"]), variant


async def test_a_picture_that_is_not_there_is_not_found(alice: Person, image: dict[str, Any]) -> None:
    await alice.delete(f"/api/images/{image['id']}")
    for image_id in (image["id"], "0" * 26, "nonsense"):
        assert (await alice.get(f"/api/images/{image_id}/content?variant=small")).status_code == 404


async def test_it_is_private(alice: Person, mallory: Person, image: dict[str, Any]) -> None:
    for variant in ("original", "small", "display"):
        await assert_private(alice, mallory, "GET", address(image, variant), image["id"])
