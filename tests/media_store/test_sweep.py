"""The sweep: media_store/services/sweep.py, and `manage.py sweep`."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError

from media_store.managers import NOTES
from media_store.models import Blob
from media_store.services import blobs
from media_store.services.sweep import Swept, sweep_due, sweep_user
from media_store.storage import get_storage
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import lasting_keys_of
from tests.media_store.uploads import keys_of, stored_keys
from tests.support.commands import run, run_for_json
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture
from tests.support.sweeping import later, nobody_else_noted

HOUR = timedelta(hours=1)
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
async def _nobody_else_is_noted(alice: Person) -> AsyncIterator[None]:
    async with nobody_else_noted():
        yield


async def plan(person: Person, content: bytes = b"half a picture") -> Blob:
    """What a process leaves that is killed between its first byte and the commit of the record."""
    blob = Blob(person.id, "0" * 25 + "1", sha256="0" * 64, size=1, thumb_size=1)
    async with unit_of_work(person.id) as work:
        Blob.objects.create(work, blob)
    await get_storage().put(f"{person.id}/{blob.id}/original", content)
    return blob


async def note_of(person: Person) -> Any:
    return await NOTES.note_of(person.id)


# ---- pictures
async def test_what_no_message_showed_for_a_day_goes_and_the_devices_hear_of_it(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, unused = [await alice.make_image(session["id"], picture(colour=each)) for each in ("red", "green")]
    await alice.make_message(session["id"], imageIds=[shown["id"]])
    await alice.phone.listen(session["id"])
    later(monkeypatch, DAY - HOUR)
    await sweep_due()
    assert len(await stored_keys(alice.id)) == 4
    later(monkeypatch, DAY + HOUR)
    await sweep_due()
    assert await stored_keys(alice.id) == await keys_of(shown)
    assert (await alice.get(f"/api/images/{unused['id']}")).status_code == 404
    assert (await alice.phone.next_frame())["payload"]["imageId"] == unused["id"]
    assert await inconsistencies([alice.id]) == []


async def test_a_deleted_message_lets_go_and_a_day_later_the_picture_and_its_object_go(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    later(monkeypatch, DAY + HOUR)
    await sweep_due()
    assert await stored_keys(alice.id) == await keys_of(image)
    await alice.delete(f"/api/messages/{message['id']}")
    await sweep_due()
    assert await stored_keys(alice.id) == await keys_of(image), "it has a day from when it was let go of"
    later(monkeypatch, 3 * DAY)
    await sweep_due()
    assert await stored_keys(alice.id) == []


async def test_it_can_be_told_to_leave_pictures(
    alice: Person, session: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SWEEP_UNUSED_IMAGES = False
    image = await alice.make_image(session["id"])
    later(monkeypatch, 2 * DAY)
    await sweep_due()
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await note_of(alice) > now() + 2 * DAY, "the operator may change his mind"


# ---- bytes
async def test_what_was_planned_and_never_held_goes_after_an_hour(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"])
    await plan(alice)
    assert await sweep_user(user_id=alice.id) == Swept()
    assert len(await stored_keys(alice.id)) == 3
    later(monkeypatch, HOUR + timedelta(minutes=1))
    await sweep_due()
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await inconsistencies([alice.id]) == []


async def test_what_was_given_up_and_arrives_later_goes_too(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await plan(alice)
    await NOTES.note(alice.id, now())
    later(monkeypatch, HOUR + timedelta(minutes=1))
    assert await sweep_user(user_id=alice.id) == Swept(abandoned=1)
    await get_storage().put(f"{alice.id}/{blob.id}/thumb", b"late")
    later(monkeypatch, 3 * HOUR)
    await sweep_due()
    assert await stored_keys(alice.id) == []
    assert await get_client().exists(owner_key(alice.id, "blobs:doomed")) == 0


async def test_bytes_left_behind_by_a_deletion_go_with_the_next_sweep(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"])

    async def die(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "remove_released", die)
        await alice.delete(f"/api/images/{image['id']}")
    assert len(await stored_keys(alice.id)) == 2
    await sweep_due()
    assert await stored_keys(alice.id) == []


async def test_what_arrives_after_an_account_was_deleted_goes(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.make_image(session["id"])
    assert (await alice.delete("/api/auth/me", {"password": alice.password})).status_code == 200
    blob = await plan(alice)
    assert await stored_keys(alice.id) == [f"{blob.id}/original"]
    later(monkeypatch, HOUR - timedelta(minutes=1))
    await sweep_due()
    assert len(await stored_keys(alice.id)) == 1
    later(monkeypatch, HOUR + timedelta(minutes=1))
    await sweep_due()
    assert await stored_keys(alice.id) == []
    left = {key.partition("}:")[2].partition(":")[0] for key in await lasting_keys_of(alice.id)}
    assert left <= {"operation", "answer"}


async def test_one_who_cannot_be_swept_does_not_stop_the_others(
    alice: Person, mallory: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (alice, mallory):
        await plan(person)
        await NOTES.note(person.id, now())
    remove_doomed = blobs.remove_doomed

    async def fail(*, user_id: str) -> int:
        if user_id == alice.id:
            raise ConnectionError
        return await remove_doomed(user_id=user_id)

    monkeypatch.setattr(blobs, "remove_doomed", fail)
    later(monkeypatch, 2 * HOUR)
    await sweep_due()
    assert await stored_keys(mallory.id) == []
    assert await note_of(alice) < now(), "she is looked at again soon"


# ---- who is looked at
async def test_who_has_nothing_is_forgotten_after_a_second_look(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"])
    await alice.delete(f"/api/images/{image['id']}")
    for hours in (2, 3, 6, 9):
        later(monkeypatch, hours * HOUR)
        await sweep_due()
    assert await note_of(alice) is None


async def test_who_has_pictures_is_looked_at_once_a_day(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    later(monkeypatch, 2 * HOUR)
    await sweep_due()
    assert 25 * HOUR < await note_of(alice) - now() < 27 * HOUR


async def test_an_upload_is_noted_before_its_bytes_are_written(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, noted = get_storage().put, []

    async def look_and_put(key: str, data: bytes) -> None:
        noted.append(await note_of(alice) <= now() + HOUR)
        await put(key, data)

    monkeypatch.setattr(get_storage(), "put", look_and_put)
    await alice.make_image(session["id"])
    assert noted == [True, True]


# ---- the command
async def test_a_rehearsal_tells_and_removes_nothing(
    alice: Person, session: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CLEANUP_GRACE = 0
    await alice.make_image(session["id"])
    await plan(alice)
    later(monkeypatch, 2 * HOUR)
    told = await run_for_json("sweep", "--dry-run")
    assert told == {"pictures": 1, "abandoned": 1, "leftBehind": 0, "dryRun": True}
    assert "would be removed" in await run("sweep", "--dry-run")
    assert len(await stored_keys(alice.id)) == 3
    told = await run_for_json("sweep", "--user", alice.email)
    assert told == {"pictures": 1, "abandoned": 1, "leftBehind": 0, "dryRun": False}
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_only_what_was_asked_for_is_swept(
    alice: Person, mallory: Person, session: dict[str, Any], settings: Any
) -> None:
    settings.CLEANUP_GRACE = 0
    await alice.make_image(session["id"])
    image = await mallory.make_image((await mallory.make_session())["id"])
    await run("sweep", "--user", alice.id)
    assert await stored_keys(alice.id) == []
    assert await stored_keys(mallory.id) == await keys_of(image)


@pytest.mark.parametrize("name", ["nobody@example.com", ""])
async def test_nobody_is_nobody(alice: Person, session: dict[str, Any], settings: Any, name: str) -> None:
    settings.CLEANUP_GRACE = 0
    image = await alice.make_image(session["id"])
    with pytest.raises(CommandError, match="There is no user"):
        await run("sweep", "--user", name)
    assert await stored_keys(alice.id) == await keys_of(image)
