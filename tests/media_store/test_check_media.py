"""`manage.py check_media`: pictures and the storage, compared both ways"""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError

from media_store.models import Blob, Image
from media_store.services import media_check
from media_store.services.blobs import storage_key
from media_store.storage import LocalStorage, get_storage
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id
from tests.media_store.pictures import sample
from tests.media_store.uploads import key_of, keys_of, stored_keys
from tests.support.commands import run, run_for_json
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture

CHECK = "check_media"


@pytest.fixture(autouse=True)
async def _nothing_of_other_tests(alice: Person) -> None:
    """Pictures of people of other tests, whose files may have been played with."""
    async for image in Image.objects.aiterate():
        await get_client().delete(image.key)
    async for key in get_storage().list():
        await get_storage().delete(key)


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"], sample("photos/rocket.jpg"))


def old_draft(key: str) -> Path:
    """A write beside `key` that was not finished."""
    storage = get_storage()
    assert isinstance(storage, LocalStorage)
    draft = (storage.root / key).with_name(".draft")
    draft.write_bytes(b"half a picture")
    os.utime(draft, times=(time.time() - 7200,) * 2)
    return draft


async def faults(*arguments: str) -> list[str]:
    """What it says when it ends with 1."""
    with pytest.raises(CommandError, match="fault"):
        await run(CHECK, *arguments)
    check = media_check.MediaCheck(verify="--verify" in arguments)
    await check.run(lambda _: None)
    return check.findings.faults


async def test_where_all_is_well_it_says_so(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    await alice.make_image(session["id"])
    await alice.make_image(session["id"])
    await alice.phone.http.get(image["variants"]["small"].removeprefix("http://testserver"))
    told = await run_for_json(CHECK, "--verify", "--repair")
    nothing = {"foreign": 0, "faults": [], "mended": [], "unsettled": []}
    assert told == {"pictures": 3, "objects": 5, **nothing}
    assert (await run(CHECK)).strip() == "Checked 3 pictures and 5 objects. All agrees."


async def test_an_object_without_a_picture_is_told_and_removed(alice: Person, image: dict[str, Any]) -> None:
    stray = f"{alice.id}/{new_id()}/original"
    await get_storage().put(stray, b"nobody's")
    await get_storage().put(f"{new_id()}/{new_id()}/thumb", b"of nobody at all")
    await get_storage().put((await key_of(image, "original")).replace("original", "huge"), b"no variant")
    assert any(stray in fault for fault in await faults())
    with pytest.raises(CommandError, match="right Redis"):
        await run(CHECK, "--repair")
    assert len(await stored_keys("")) == 5
    told = await run_for_json(CHECK, "--repair", "--force")
    assert (len(told["mended"]), told["faults"]) == (3, [])
    assert await stored_keys(alice.id) == await keys_of(image)


async def test_nothing_at_all_is_mended_where_it_may_be_the_wrong_redis(
    alice: Person, image: dict[str, Any]
) -> None:
    for _ in range(3):
        await get_storage().put(f"{alice.id}/{new_id()}/original", b"nobody's")
    await get_storage().delete(await key_of(image, "thumb"))
    draft = old_draft(await key_of(image, "original"))
    before = await stored_keys("")
    with pytest.raises(CommandError, match="Nothing was removed"):
        await run(CHECK, "--repair")
    assert (await stored_keys(""), draft.exists()) == (before, True)
    assert len((await run_for_json(CHECK, "--repair", "--force"))["mended"]) == 5


async def test_what_is_about_to_go_or_being_written_is_no_fault(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    blob_id = (await Image.objects.aget(alice.id, image["id"])).blob_id
    await alice.delete(f"/api/images/{image['id']}")
    await get_storage().put(f"{alice.id}/{blob_id}/small", b"a variant that was under way")
    assert (await run_for_json(CHECK))["faults"] == []


async def test_objects_of_others_in_the_bucket_are_let_be(image: dict[str, Any]) -> None:
    await get_storage().put("backups/of/something", b"not ours")
    told = await run_for_json(CHECK, "--repair", "--force")
    assert (told["foreign"], told["mended"]) == (1, [])
    await get_storage().delete("backups/of/something")


async def test_a_lost_original_is_told_and_its_record_stays(alice: Person, image: dict[str, Any]) -> None:
    key = await key_of(image, "original")
    await get_storage().delete(key)
    assert [key in fault for fault in await faults("--repair", "--force")] == [True]
    assert (await alice.get(f"/api/images/{image['id']}")).status_code == 200


async def test_an_original_that_was_changed_is_told(image: dict[str, Any]) -> None:
    key = await key_of(image, "original")
    data = b"".join([chunk async for chunk in get_storage().open(key)])
    await get_storage().put(key, data[:-1])
    assert ["bytes of its original instead of" in fault for fault in await faults()] == [True]
    await get_storage().put(key, data[:-1] + b"\0")
    assert (await run_for_json(CHECK))["faults"] == [], "it takes reading to see it"
    assert ["other bytes" in fault for fault in await faults("--verify")] == [True]


@pytest.mark.parametrize("thumbnail", [None, b"torn"])
async def test_a_lost_thumbnail_is_made_anew(
    alice: Person, session: dict[str, Any], image: dict[str, Any], thumbnail: bytes | None
) -> None:
    twin = await alice.make_image(session["id"], sample("photos/rocket.jpg"))
    key = await key_of(image, "thumb")
    await get_storage().delete(key)
    if thumbnail:
        await get_storage().put(key, thumbnail)
    assert len(await faults()) == 2
    await run(CHECK, "--repair")
    assert (await run_for_json(CHECK))["faults"] == []
    assert await inconsistencies([alice.id]) == []
    for each in (image, twin):
        answer = await alice.phone.http.get(each["thumbPath"].removeprefix("http://testserver"))
        assert (answer.status_code, answer.content[8:12]) == (200, b"WEBP")


async def test_a_picture_stored_before_there_were_blobs_is_given_one(
    alice: Person, image: dict[str, Any]
) -> None:
    record = await Image.objects.aget(alice.id, image["id"])
    for variant in ("original", "thumb"):
        data = b"".join([chunk async for chunk in get_storage().open(storage_key(record, variant))])
        await get_storage().put(f"{alice.id}/{image['id']}/{variant}", data)
    await get_storage().delete_prefix(f"{alice.id}/{record.blob_id}")
    await get_client().delete(Blob.handle(alice.id, record.blob_id).key)
    await get_client().delete(f"nb:{{u:{alice.id}}}:content:{record.sha256}")
    await get_client().hdel(record.key, "blob_id")
    assert ["no blob of its own" in fault for fault in await faults()] == [True]
    await run(CHECK, "--repair")
    assert await inconsistencies([alice.id]) == []
    await alice.delete(f"/api/images/{image['id']}")
    assert await stored_keys(alice.id) == []


async def test_unfinished_writes_are_removed_once_they_are_old(image: dict[str, Any]) -> None:
    draft = old_draft(await key_of(image, "original"))
    os.utime(draft)
    assert (await run_for_json(CHECK, "--repair"))["mended"] == []
    draft = old_draft(await key_of(image, "original"))
    assert len(await faults()) == 1
    assert len((await run_for_json(CHECK, "--repair"))["mended"]) == 1
    assert not draft.exists()


async def test_what_comes_and_goes_meanwhile_is_no_fault(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [await alice.make_image(session["id"], picture(colour=each)) for each in ("red", "green")]
    aiterate, list_keys = Image.objects.aiterate, get_storage().list

    async def iterate_and_delete() -> AsyncIterator[Image]:
        async for image in aiterate():
            await alice.delete(f"/api/images/{image.id}")
            yield image

    async def list_and_upload(prefix: str = "") -> AsyncIterator[str]:
        async for key in list_keys(prefix):
            yield key
        await alice.delete(f"/api/images/{images[0]['id']}")
        await alice.make_image(session["id"], picture(colour="blue"))
        async for key in list_keys(prefix):
            yield key

    monkeypatch.setattr(Image.objects, "aiterate", iterate_and_delete)
    monkeypatch.setattr(get_storage(), "list", list_and_upload)
    check = media_check.MediaCheck(repair=True)
    await check.run(lambda _: None)
    assert check.findings.faults + check.findings.mended == []
    assert check.pictures == len(images)
    assert orjson.dumps(check.findings.unsettled) == b"[]"
