"""The bytes of pictures: one object for equal content, and none that nothing holds."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest

from accounts.models import User
from media_store.imaging import prepare
from media_store.managers import DOOMED
from media_store.models import Blob, Image
from media_store.rendering import size_of
from media_store.services import blobs
from media_store.storage import StorageUnavailable, get_storage
from nanobanana.errors import Conflict
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.media_store.pictures import sample
from tests.media_store.uploads import keys_of, stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture

HOUR = timedelta(hours=1)


async def blob_of(image: dict[str, Any]) -> Blob:
    record = await Image.objects.aget(image["userId"], image["id"])
    return await Blob.objects.aget(image["userId"], record.blob_id)


async def delete(person: Person, image: dict[str, Any]) -> None:
    assert (await person.delete(f"/api/images/{image['id']}")).status_code == 200


async def doomed(person: Person) -> dict[str, float]:
    return dict(await get_client().zrange(owner_key(person.id, DOOMED), 0, -1, withscores=True))


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    monkeypatch.setattr(blobs, "now", lambda: now() + by)


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are written."""
    put, keys = get_storage().put, []

    async def put_and_tell(key: str, data: bytes) -> None:
        keys.append(key)
        await put(key, data)

    monkeypatch.setattr(get_storage(), "put", put_and_tell)
    return keys


# ---- shared by content
async def test_the_same_picture_twice_is_two_records_and_one_object(
    alice: Person, session: dict[str, Any], puts: list[str]
) -> None:
    first, second = [await alice.make_image(session["id"]) for _ in range(2)]
    assert first["id"] != second["id"]
    assert first["sha256"] == second["sha256"]
    assert await stored_keys(alice.id) == await keys_of(first) == await keys_of(second)
    assert (len(puts), (await blob_of(first)).holders) == (2, 2)
    assert await inconsistencies([alice.id]) == []


async def test_the_object_goes_with_the_last_who_has_it(alice: Person, session: dict[str, Any]) -> None:
    first, second = [await alice.make_image(session["id"], sample("photos/rocket.jpg")) for _ in range(2)]
    await size_of(await Image.objects.aget(alice.id, first["id"]), "small")
    await delete(alice, first)
    assert await stored_keys(alice.id) == await keys_of(second, "original", "small", "thumb")
    assert await inconsistencies([alice.id]) == []
    await delete(alice, second)
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_nobody_learns_what_others_have(
    alice: Person, mallory: Person, session: dict[str, Any], puts: list[str]
) -> None:
    """Content is shared among the pictures of one person: an upload is as slow as if nobody had it."""
    theirs = await mallory.make_image((await mallory.make_session())["id"])
    image = await alice.make_image(session["id"])
    assert len(puts) == 4
    await delete(mallory, theirs)
    assert await stored_keys(alice.id) == await keys_of(image)


async def test_the_same_at_once_ends_as_one_object(alice: Person, session: dict[str, Any]) -> None:
    images = await asyncio.gather(*(alice.make_image(session["id"]) for _ in range(8)))
    assert await stored_keys(alice.id) == await keys_of(images[0])
    assert (await blob_of(images[0])).holders == 8
    assert await inconsistencies([alice.id]) == []


async def test_uploads_and_deletions_of_the_same_at_once_stay_exact(
    alice: Person, session: dict[str, Any]
) -> None:
    images = [await alice.make_image(session["id"])]
    for _ in range(8):
        added, *_ = await asyncio.gather(
            alice.make_image(session["id"]), *(delete(alice, image) for image in images)
        )
        assert await stored_keys(alice.id) == await keys_of(added)
        images = [added]
    assert await inconsistencies([alice.id]) == []


async def test_what_is_released_while_it_is_to_be_shared_is_written_anew(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await alice.make_image(session["id"])
    find = Blob.objects.find_stored

    async def find_and_release(*arguments: str) -> Blob | None:
        found = await find(*arguments)
        monkeypatch.setattr(Blob.objects, "find_stored", find)
        await delete(alice, first)
        return found

    monkeypatch.setattr(Blob.objects, "find_stored", find_and_release)
    second = await alice.make_image(session["id"])
    assert await stored_keys(alice.id) == await keys_of(second)
    assert await inconsistencies([alice.id]) == []


async def test_a_copied_session_and_a_message_share_records_and_so_objects(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    assert (await alice.post(f"/api/sessions/{session['id']}/duplicate")).status_code == 201
    assert (await blob_of(image)).holders == 1
    assert await stored_keys(alice.id) == await keys_of(image)


async def test_a_picture_stored_before_there_were_blobs_is_shown(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    old = await Image.objects.aget(alice.id, image["id"])
    for variant in ("original", "thumb"):
        data = b"".join([chunk async for chunk in get_storage().open(blobs.storage_key(old, variant))])
        await get_storage().put(f"{alice.id}/{image['id']}/{variant}", data)
    await get_client().hdel(old.key, "blob_id")
    await get_client().delete(Blob.handle(alice.id, old.blob_id).key)
    for url in (image["path"], image["thumbPath"]):
        assert (await alice.phone.http.get(url.removeprefix("http://testserver"))).status_code == 200
    await delete(alice, image)


# ---- removed, and removed again
async def test_bytes_are_removed_again_an_hour_later(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way when they were removed has arrived by then: a write that was given up, a variant."""
    image = await alice.make_image(session["id"])
    blob = await blob_of(image)
    await delete(alice, image)
    assert [*await doomed(alice)] == [blob.id]
    await get_storage().put(f"{alice.id}/{blob.id}/small", b"late")
    assert await blobs.remove_doomed(user_id=alice.id) == 0
    later(monkeypatch, HOUR - timedelta(seconds=1))
    assert await blobs.remove_doomed(user_id=alice.id) == 0
    later(monkeypatch, HOUR + timedelta(seconds=1))
    assert await blobs.remove_doomed(user_id=alice.id) == 1
    assert await stored_keys(alice.id) == []
    assert await doomed(alice) == {}


async def test_a_storage_that_is_away_does_not_keep_a_picture_from_being_deleted(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"])

    async def be_away(prefix: str) -> None:
        raise StorageUnavailable("It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(get_storage(), "delete_prefix", be_away)
        await delete(alice, image)
    assert len(await stored_keys(alice.id)) == 2
    assert await inconsistencies([alice.id]) == []
    assert (await alice.phone.http.get(image["path"].removeprefix("http://testserver"))).status_code == 404
    assert await blobs.remove_doomed(user_id=alice.id) == 1
    assert await stored_keys(alice.id) == []


async def test_a_picture_whose_blob_has_no_record_can_be_deleted(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    await get_client().delete((await blob_of(image)).key)
    await delete(alice, image)
    assert (await alice.get("/api/images/user/all")).json()["images"] == []


# ---- what an upload leaves when it fails
Failing = Callable[[pytest.MonkeyPatch], None]


def failing_put(variant: str) -> Failing:
    def fail(monkeypatch: pytest.MonkeyPatch) -> None:
        put = get_storage().put

        async def put_or_fail(key: str, data: bytes) -> None:
            if key.endswith(variant):
                raise StorageUnavailable("It is away.")
            await put(key, data)

        monkeypatch.setattr(get_storage(), "put", put_or_fail)

    return fail


@pytest.mark.parametrize("variant", ["original", "thumb"])
async def test_a_write_that_fails_leaves_nothing(
    alice: Person, session: dict[str, Any], variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing_put(variant)(patch)
        answer = await alice.upload(session["id"], picture())
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []
    await alice.make_image(session["id"])


async def test_one_who_was_given_up_cannot_be_recorded(alice: Person, session: dict[str, Any]) -> None:
    """The sweep has removed what took longer than an hour: its picture would have no bytes."""
    user = User(alice.id, alice.id)

    async def record(blob: Blob) -> None:
        await blobs.discard(Blob(**blob.__dict__))
        async with unit_of_work(user.id) as work:
            blobs.hold(work, blob)

    prepared = await asyncio.to_thread(prepare, BytesIO(picture()))
    with pytest.raises(Conflict):
        await blobs.keep(user=user, picture=prepared, record=record)
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []
