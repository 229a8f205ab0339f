"""POST /api/messages/:id/restore"""

import asyncio
from typing import Any

import pytest

from accounts.models import User
from chats.models import Message
from chats.services.messages import restore_revision
from media_store.models import Image
from media_store.services.images import delete_image
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of


async def test_it_brings_a_former_version_back_and_tells_the_devices_in_the_session(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], "before", params={"seed": 7}, imageIds=[image["id"]])
    path = f"/api/messages/{message['id']}"
    await alice.put(path, {"text": "after", "params": {}, "imageIds": []})
    await alice.phone.listen(session["id"])
    answer = await alice.post(f"{path}/restore", {"revision": 0})
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "messageData"}
    restored = answer.json()["messageData"]
    assert restored == {
        **message,
        "revision": 2,
        "updatedAt": restored["updatedAt"],
        "images": restored["images"],
    }
    assert [shown["refCount"] for shown in restored["images"]] == [1]
    assert answer.headers["ETag"] == '"2"'
    stored = await Message.objects.aget(alice.id, message["id"])
    assert (stored.text, stored.params, stored.image_ids) == ("before", {"seed": 7}, [image["id"]])
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("message_updated", {"message": restored})
    assert await alice.phone.heard() == []
    assert await inconsistencies([alice.id]) == []


async def test_a_restored_version_can_be_taken_back_too(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"], "one")
    path = f"/api/messages/{message['id']}"
    await alice.put(path, {"text": "two"})
    texts = [
        (await alice.post(f"{path}/restore", {"revision": number})).json()["messageData"]["text"]
        for number in (0, 1, 2)
    ]
    assert texts == ["one", "two", "one"]


async def test_images_that_are_gone_stay_away(alice: Person, session: dict[str, Any]) -> None:
    kept, gone = [(await alice.make_image(session["id"]))["id"] for _ in range(2)]
    message = await alice.make_message(session["id"], imageIds=[gone, kept])
    path = f"/api/messages/{message['id']}"
    await alice.put(path, {"imageIds": []})
    assert (await alice.delete(f"/api/images/{gone}")).status_code == 200
    restored = (await alice.post(f"{path}/restore", {"revision": 0})).json()["messageData"]
    assert restored["imageIds"] == [image["id"] for image in restored["images"]] == [kept]
    assert await inconsistencies([alice.id]) == []


async def test_an_image_that_goes_in_between_stays_away_too(
    alice: Person, session: dict[str, Any], user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = (await alice.make_image(session["id"]))["id"]
    message = await alice.make_message(session["id"], "text", imageIds=[image_id])
    await alice.put(f"/api/messages/{message['id']}", {"imageIds": [], "text": "changed"})
    read = Image.objects.aget_many

    async def read_then_delete(*arguments: Any, **options: Any) -> Any:
        page = await read(*arguments, **options)
        monkeypatch.undo()
        await delete_image(user=user, image_id=image_id)
        return page

    monkeypatch.setattr(Image.objects, "aget_many", read_then_delete)
    restored = await restore_revision(user=user, message_id=message["id"], revision=0)
    assert (restored.message.text, restored.message.image_ids) == ("text", [])


async def test_the_present_version_is_there_already(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await alice.phone.listen(session["id"])
    answer = await alice.post(f"/api/messages/{message['id']}/restore", {"revision": 0})
    assert (answer.status_code, answer.json()["messageData"]) == (200, message)
    assert answer.headers["X-Sync-Cursor"] == await alice.position()
    assert await alice.phone.heard() == []


async def test_a_revision_that_never_was_is_not_found(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    answer = await alice.post(f"/api/messages/{message['id']}/restore", {"revision": 1})
    assert (answer.status_code, answer.json()["message"]) == (404, "There is no such revision.")


async def test_what_is_not_valid_is_refused_and_named(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    for revision in (-1, None, "x", [1], 2**53):
        answer = await alice.post(f"/api/messages/{message['id']}/restore", {"revision": revision})
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["revision"]), revision
    assert (await alice.post(f"/api/messages/{message['id']}/restore")).status_code == 400


async def test_a_repeated_request_restores_once(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"], "one")
    path = f"/api/messages/{message['id']}"
    await alice.put(path, {"text": "two"})
    key = {"Idempotency-Key": "restore-once"}
    answers = await asyncio.gather(
        *(alice.post(f"{path}/restore", {"revision": 0}, headers=key) for _ in range(5))
    )
    succeeded = [content_of(answer) for answer in answers if answer.status_code == 200]
    assert succeeded == [succeeded[0]] * len(succeeded)
    assert (await Message.objects.aget(alice.id, message["id"])).revision == 2


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    path = f"/api/messages/{message['id']}/restore"
    await assert_private(alice, mallory, "POST", path, message["id"], {"revision": 0})
