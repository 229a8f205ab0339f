"""A picture comes to have other bytes: media_store/services/replacing.py"""

import hashlib
import io
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image as Picture

from media_store.models import Image
from media_store.pictures import PictureInfo, PreparedPicture
from media_store.services import blobs
from media_store.services.replacing import Overtaken, replace_original
from media_store.storage import StorageUnavailable, get_storage
from media_store.variants import THUMB
from nanobanana.redisdb.fields import now
from tests.media_store.uploads import keys_of, stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture
from tests.support.strangers import content_of


def packed(level: int) -> bytes:
    """A PNG of always the same pixels."""
    file = io.BytesIO()
    Picture.new("RGB", (64, 48), "orange").save(file, "PNG", compress_level=level)
    return file.getvalue()


LARGE, SMALL = packed(0), packed(9)


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"], LARGE)


async def record_of(image: dict[str, Any]) -> Image:
    return await Image.objects.aget(image["userId"], image["id"])


def prepared(image: Image, original: bytes, thumbnail: bytes) -> PreparedPicture:
    info = PictureInfo("image/png", image.width, image.height, frames=1)
    return PreparedPicture(info, original, hashlib.sha256(original).hexdigest(), thumbnail)


async def replace(image: Image, original: bytes) -> None:
    thumbnail = b"".join([chunk async for chunk in get_storage().open(blobs.storage_key(image, THUMB))])
    await replace_original(image, prepared(image, original, thumbnail))


async def fetch(person: Person, url: str) -> Any:
    return await person.phone.http.get(url.removeprefix("http://testserver"))


async def test_it_has_the_new_bytes_and_the_devices_in_the_session_hear_of_it(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    thumbnail = (await fetch(alice, image["thumbPath"])).content
    await replace(await record_of(image), SMALL)
    after = (await alice.get(f"/api/images/{image['id']}")).json()["image"]
    assert (after["size"], after["sha256"]) == (len(SMALL), hashlib.sha256(SMALL).hexdigest())
    assert {name for name in image if image[name] != after[name]} == {"size", "sha256", "updatedAt"}
    assert (await fetch(alice, image["path"])).content == SMALL
    assert (await fetch(alice, image["thumbPath"])).content == thumbnail
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("image_updated", {"image": after})
    assert (await alice.get("/api/auth/me/usage")).json()["usage"]["bytes"] == len(SMALL)
    assert await inconsistencies([alice.id]) == []


async def test_the_old_bytes_stay_while_a_cloud_s_address_of_them_can_live(
    alice: Person, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await keys_of(image)
    await replace(await record_of(image), SMALL)
    new = await keys_of(image)
    assert await stored_keys(alice.id) == sorted(old + new)
    for hours, left in ((26, old + new), (28, new), (30, new)):
        monkeypatch.setattr(blobs, "now", lambda hours=hours: now() + timedelta(hours=hours))
        await blobs.remove_doomed(user_id=alice.id)
        assert await stored_keys(alice.id) == sorted(left)
    assert await inconsistencies([alice.id]) == []


async def test_when_it_is_deleted_the_old_bytes_go_at_once(alice: Person, image: dict[str, Any]) -> None:
    await replace(await record_of(image), SMALL)
    assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
    assert await stored_keys(alice.id) == []


async def test_when_its_session_is_deleted_too(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    await replace(await record_of(image), SMALL)
    assert (await alice.delete(f"/api/sessions/{session['id']}?permanent=true")).status_code == 200
    assert await stored_keys(alice.id) == []


async def test_two_with_the_same_content_come_to_share_the_new_one(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    other = await alice.make_image(session["id"], LARGE)
    old = await keys_of(image)
    for each in (image, other):
        await replace(await record_of(each), SMALL)
        assert await inconsistencies([alice.id]) == []
    assert await keys_of(image) == await keys_of(other)
    assert await stored_keys(alice.id) == sorted(old + await keys_of(image))


async def test_one_that_was_deleted_or_replaced_meanwhile_is_let_be(
    alice: Person, image: dict[str, Any]
) -> None:
    read = await record_of(image)
    await replace(await record_of(image), SMALL)
    with pytest.raises(Overtaken):
        await replace(read, picture(colour="red"))
    after, thumbnail = await record_of(image), (await fetch(alice, image["thumbPath"])).content
    await alice.delete(f"/api/images/{image['id']}")
    never = content_of(await alice.get(f"/api/images/{'0' * 26}"))
    with pytest.raises(Overtaken):
        await replace_original(after, prepared(after, picture(colour="red"), thumbnail))
    assert content_of(await alice.get(f"/api/images/{image['id']}")) == never
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_storage_that_fails_leaves_what_was(
    alice: Person, image: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await record_of(image)

    async def fail(key: str, data: bytes) -> None:
        raise StorageUnavailable("It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(get_storage(), "put", fail)
        with pytest.raises(StorageUnavailable):
            await replace(await record_of(image), SMALL)
    assert await record_of(image) == before
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await inconsistencies([alice.id]) == []
