"""GET and HEAD /media/:userId/:imageId/:variant"""

import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from media_store.links import media_url
from media_store.metadata import strip
from media_store.storage import get_storage
from tests.media_store.pictures import SECRET, corners, decode, encode, private_exif, sample
from tests.media_store.uploads import key_of, stored_keys
from tests.support.people import Person

PHOTO = "photos/hubble_deep_field.jpg"  # over 64 KB, so that its answer is a stream


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"], sample(PHOTO))


@pytest.fixture
def original() -> bytes:
    return strip(sample(PHOTO), "image/jpeg")


async def fetch(person: Person, url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask as an `<img>` does: without a token."""
    parts = urlsplit(url)
    return await person.phone.http.request(method, f"{parts.path}?{parts.query}", headers=headers)


async def test_whoever_has_the_link_sees_the_original_as_it_was(
    alice: Person, mallory: Person, image: dict[str, Any], original: bytes
) -> None:
    answer = await fetch(mallory, image["path"])
    assert answer.status_code == 200
    assert answer.content == original
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert int(answer.headers["Content-Length"]) == image["size"] == len(original)


async def test_the_thumbnail_is_webp(alice: Person, image: dict[str, Any]) -> None:
    answer = await fetch(alice, image["thumbPath"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
    thumbnail = decode(answer.content)
    assert (thumbnail.format, max(thumbnail.size)) == ("WEBP", 320)


async def test_neither_names_a_place_or_a_person(alice: Person, session: dict[str, Any]) -> None:
    content = encode(corners(400, 200), "JPEG", exif=private_exif(orientation=6), comment=SECRET)
    assert SECRET in content
    image = await alice.make_image(session["id"], content)
    for url in (image["path"], image["thumbPath"]):
        assert SECRET not in (await fetch(alice, url)).content


async def test_the_bytes_are_kept_harmless(alice: Person, image: dict[str, Any]) -> None:
    for url in (image["path"], image["thumbPath"]):
        headers = (await fetch(alice, url)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Content-Disposition"].startswith(f'inline; filename="{image["id"]}.')
        assert headers["Cache-Control"].startswith("private, ")


async def test_a_browser_may_keep_it_as_long_as_the_link_lives(alice: Person, image: dict[str, Any]) -> None:
    expiry = int(parse_qs(urlsplit(image["thumbPath"]).query)["e"][0])
    cached = (await fetch(alice, image["thumbPath"])).headers["Cache-Control"]
    assert "immutable" in cached
    seconds = int(cached.partition("max-age=")[2].partition(",")[0])
    assert abs(seconds - (expiry - time.time())) < 60


async def test_it_is_not_sent_again_to_who_has_it(alice: Person, image: dict[str, Any]) -> None:
    tags = set()
    for url in (image["path"], image["thumbPath"]):
        tag = (await fetch(alice, url)).headers["ETag"]
        for value in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            again = await fetch(alice, url, **{"If-None-Match": value})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert (await fetch(alice, url, **{"If-None-Match": '"other"'})).status_code == 200
        tags.add(tag)
    assert len(tags) == 2


async def test_a_part_can_be_asked_for(alice: Person, image: dict[str, Any], original: bytes) -> None:
    size = len(original)
    for asked, start, end in (
        ("bytes=0-99", 0, 100),
        ("bytes=1000-", 1000, size),
        ("bytes=-500", size - 500, size),
        (f"bytes=100-{size * 2}", 100, size),
    ):
        answer = await fetch(alice, image["path"], Range=asked)
        assert (answer.status_code, answer.content) == (206, original[start:end])
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = await fetch(alice, image["path"], Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_its_head_can_be_asked_for(alice: Person, image: dict[str, Any]) -> None:
    for url in (image["path"], image["thumbPath"]):
        whole, head = await fetch(alice, url), await fetch(alice, url, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Accept-Ranges"):
            assert head.headers[name] == whole.headers[name]


async def test_only_a_link_of_ours_opens_it(alice: Person, mallory: Person, image: dict[str, Any]) -> None:
    parts = urlsplit(image["path"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    thumb_query = {name: values[0] for name, values in parse_qs(urlsplit(image["thumbPath"]).query).items()}
    for path, changes in (
        (parts.path, {"s": ""}),
        (parts.path, {"s": query["s"][:-1]}),
        (parts.path, {"s": query["s"].swapcase()}),
        (parts.path, {"s": "ключ"}),
        (parts.path, {"e": str(int(query["e"]) + 1)}),
        (parts.path, {"e": ""}),
        (parts.path, {"e": "9" * 30}),
        (parts.path, {"e": "nonsense"}),
        (parts.path, thumb_query),
        (parts.path.replace("/original", "/thumb"), {}),
        (parts.path.replace("/original", "/other"), {}),
        (parts.path.replace(alice.id, mallory.id), {}),
        (parts.path.replace(image["id"], "0" * 26), {}),
        (parts.path.replace("/original", "/%2e%2e"), {}),
    ):
        answer = await alice.phone.get(path, params={**query, **changes})
        assert (answer.status_code, answer.json()["error"]) == (403, "forbidden"), (path, changes)
    assert (await alice.phone.get(parts.path)).status_code == 403


async def test_a_link_ends(alice: Person, image: dict[str, Any]) -> None:
    over = media_url(alice.id, image["id"], "original", now=time.time() - 2 * 24 * 3600)
    answer = await fetch(alice, over)
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


async def test_a_link_to_what_is_deleted_leads_nowhere(alice: Person, image: dict[str, Any]) -> None:
    await alice.delete(f"/api/images/{image['id']}")
    for url in (image["path"], image["thumbPath"]):
        for method in ("GET", "HEAD"):
            assert (await fetch(alice, url, method)).status_code == 404


DELETIONS: dict[str, Callable[[Person, dict[str, Any]], Awaitable[httpx.Response]]] = {
    "itself": lambda person, image: person.delete(f"/api/images/{image['id']}"),
    "with its session": lambda person, image: person.delete(
        f"/api/sessions/{image['sessionId']}?permanent=true"
    ),
    "with its account": lambda person, _: person.delete("/api/auth/me", {"password": person.password}),
}


@pytest.mark.parametrize("how", DELETIONS)
async def test_however_a_picture_is_deleted_its_links_end_and_its_bytes_are_gone(
    alice: Person, image: dict[str, Any], how: str
) -> None:
    links = [image["path"], *image["variants"].values()]
    for url in links:
        assert (await fetch(alice, url)).status_code == 200
    assert len(await stored_keys(alice.id)) == len(links)
    assert (await DELETIONS[how](alice, image)).status_code == 200
    for url in links:
        assert (await fetch(alice, url)).status_code == 404
    assert await stored_keys(alice.id) == []


async def test_the_links_of_one_record_end_while_another_shows_the_same_object(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    twin = await alice.make_image(session["id"], sample(PHOTO))
    await alice.delete(f"/api/images/{image['id']}")
    assert (await fetch(alice, image["path"])).status_code == 404
    assert (await fetch(alice, twin["path"])).status_code == 200


async def test_a_link_that_we_sign_for_what_never_was_leads_nowhere(alice: Person) -> None:
    for user_id, image_id in ((alice.id, "0" * 26), ("0" * 26, "0" * 26), ("nonsense", "..")):
        assert (await fetch(alice, media_url(user_id, image_id, "original"))).status_code == 404


async def test_a_picture_whose_file_is_lost_is_not_found(alice: Person, image: dict[str, Any]) -> None:
    await get_storage().delete(await key_of(image, "original"))
    for method in ("GET", "HEAD"):
        assert (await fetch(alice, image["path"], method)).status_code == 404


async def test_it_takes_no_other_method(alice: Person, image: dict[str, Any]) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await fetch(alice, image["path"], method)).status_code == 405
