"""PUT /api/messages/:id"""

import asyncio
from typing import Any

from chats.models import Message, Session
from media_store.models import Image
from nanobanana.redisdb.ids import new_id
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of


async def revision_of(person: Person, message: dict[str, Any]) -> int:
    return (await Message.objects.aget(person.id, message["id"])).revision


async def test_it_answers_with_the_changed_message_and_tells_the_devices_in_the_session(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], "before")
    await alice.phone.listen(session["id"])
    changes = {"text": "after", "params": {"seed": 7}, "imageIds": [image["id"]]}
    answer = await alice.put(f"/api/messages/{message['id']}", changes)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "messageData"}
    changed = answer.json()["messageData"]
    expected = {**message, **changes, "updatedAt": changed["updatedAt"], "images": changed["images"]}
    assert changed == {**expected, "revision": 1}
    assert [(shown["id"], shown["refCount"]) for shown in changed["images"]] == [(image["id"], 1)]
    assert changed["updatedAt"] > message["updatedAt"]
    stored = await Message.objects.aget(alice.id, message["id"])
    assert (stored.text, stored.params, stored.image_ids) == ("after", {"seed": 7}, [image["id"]])
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("message_updated", {"message": changed})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]
    assert await alice.phone.heard() == []


async def test_what_is_not_named_stays(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(
        session["id"], "text", params={"seed": 7}, imageIds=[image["id"]], role="assistant"
    )
    changes: dict[str, Any]
    for changes in ({"text": "new"}, {"params": {"seed": 8}}, {"imageIds": []}, {"text": ""}, {"params": {}}):
        before = (await alice.get(f"/api/messages/{message['id']}")).json()["message"]
        after = (await alice.put(f"/api/messages/{message['id']}", changes)).json()["messageData"]
        ignored = {"updatedAt", "images", "revision"}
        assert {**after, **before, **changes} == {**before, **changes}
        assert {name for name in after if after[name] != before[name]} - ignored == changes.keys()


async def test_nothing_changed_wakes_nobody(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], "same", params={"a": 1}, imageIds=[image["id"]])
    await alice.phone.listen(session["id"])
    for changes in (
        {},
        {"text": "same"},
        {"params": {"a": 1}},
        {"imageIds": [image["id"]]},
        {"text": "same", "params": {"a": 1}, "imageIds": [image["id"], image["id"]]},
        {"nonsense": 1, "role": "system"},
    ):
        answer = await alice.put(f"/api/messages/{message['id']}", changes)
        assert (answer.status_code, answer.json()["messageData"]) == (200, message), changes
        assert answer.headers["X-Sync-Cursor"] == await alice.position()
    assert await revision_of(alice, message) == 0
    assert await alice.phone.heard() == []


async def test_the_revision_counts_the_changes(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    for number in range(3):
        await alice.put(f"/api/messages/{message['id']}", {"text": f"{number}", "params": {"n": number}})
        await alice.put(f"/api/messages/{message['id']}", {"text": f"{number}"})
    assert await revision_of(alice, message) == 3


async def test_images_come_go_and_change_their_order(alice: Person, session: dict[str, Any]) -> None:
    first, second, third = [(await alice.make_image(session["id"]))["id"] for _ in range(3)]
    message = await alice.make_message(session["id"], imageIds=[first, second])
    for image_ids, counts in (
        ([second, first], [1, 1, 0]),
        ([third, second], [0, 1, 1]),
        ([], [0, 0, 0]),
        ([first, third, first], [1, 0, 1]),
    ):
        answer = await alice.put(f"/api/messages/{message['id']}", {"imageIds": image_ids})
        changed = answer.json()["messageData"]
        assert changed["imageIds"] == list(dict.fromkeys(image_ids))
        assert [image["id"] for image in changed["images"]] == changed["imageIds"]
        stored = [await Image.objects.aget(alice.id, image_id) for image_id in (first, second, third)]
        assert [image.ref_count for image in stored] == counts
    assert await inconsistencies([alice.id]) == []


async def test_it_is_no_activity_of_the_session(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    before = await Session.objects.aget(alice.id, session["id"])
    await alice.put(f"/api/messages/{message['id']}", {"text": "changed"})
    assert await Session.objects.aget(alice.id, session["id"]) == before


async def test_nothing_can_be_set_that_may_not_be_set(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"])
    other = await alice.make_session()
    forged = {
        "id": new_id(),
        "sessionId": other["id"],
        "session_id": other["id"],
        "userId": mallory.id,
        "role": "system",
        "createdAt": "2001-01-01T00:00:00.000Z",
        "editedOf": message["id"],
        "revision": 9,
        "image_ids": [new_id()],
    }
    answer = await alice.put(f"/api/messages/{message['id']}", {"text": "changed", **forged})
    changed = answer.json()["messageData"]
    assert changed == {**message, "text": "changed", "updatedAt": changed["updatedAt"], "revision": 1}
    assert await revision_of(alice, message) == 1


async def test_what_is_not_valid_is_refused_and_nothing_changes(
    alice: Person, session: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"])
    changes: dict[str, Any]
    for changes in (
        {"text": None},
        {"text": 5},
        {"text": "x" * 32_001},
        {"params": []},
        {"params": {"a": "x" * 16_384}},
        {"imageIds": None},
        {"imageIds": "abc"},
        {"imageIds": [f"{n:026}" for n in range(21)]},
    ):
        answer = await alice.put(f"/api/messages/{message['id']}", {"text": "new", **changes})
        assert (answer.status_code, list(answer.json()["details"])) == (400, list(changes))
    assert (await alice.get(f"/api/messages/{message['id']}")).json()["message"] == message


async def test_an_absent_or_foreign_image_is_not_found_and_nothing_changes(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    own = (await alice.make_image(session["id"]))["id"]
    foreign = (await mallory.make_image((await mallory.make_session())["id"]))["id"]
    message = await alice.make_message(session["id"])
    never = await alice.put(f"/api/messages/{message['id']}", {"text": "new", "imageIds": [own, new_id()]})
    for image_id in (foreign, "nonsense", message["id"]):
        answer = await alice.put(
            f"/api/messages/{message['id']}", {"text": "new", "imageIds": [own, image_id]}
        )
        assert (answer.status_code, content_of(answer)) == (404, content_of(never))
    assert (await alice.get(f"/api/messages/{message['id']}")).json()["message"] == message
    assert await inconsistencies([alice.id, mallory.id]) == []


async def test_the_images_always_match_their_ids_while_devices_change_them(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"])
    await alice.phone.listen(session["id"])
    for number in range(25):
        answers = await asyncio.gather(
            alice.phone.put(
                f"/api/messages/{message['id']}", {"imageIds": [image["id"]] * ((number + 1) % 2)}
            ),
            alice.laptop.put(f"/api/messages/{message['id']}", {"text": f"{number}"}),
            alice.laptop.put(f"/api/messages/{message['id']}", {"params": {"n": number}}),
        )
        for answer in answers:
            assert answer.status_code == 200
            assert_images_match(answer.json()["messageData"])
    for frame in await alice.phone.heard():
        assert_images_match(frame["payload"]["message"])


def assert_images_match(message: dict[str, Any]) -> None:
    assert [image["id"] for image in message["images"]] == message["imageIds"]


async def test_of_changes_to_different_fields_at_once_none_is_lost(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"])
    for number in range(20):
        image_ids = [image["id"]] * (number % 2)
        await asyncio.gather(
            alice.laptop.put(f"/api/messages/{message['id']}", {"text": f"{number}"}),
            alice.phone.put(f"/api/messages/{message['id']}", {"params": {"n": number}}),
            alice.phone.put(f"/api/messages/{message['id']}", {"imageIds": image_ids}),
        )
        stored = await Message.objects.aget(alice.id, message["id"])
        assert (stored.text, stored.params, stored.image_ids) == (f"{number}", {"n": number}, image_ids)


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    body: dict[str, Any]
    for body in ({"text": "Mine now"}, {"imageIds": []}, {}):
        await assert_private(alice, mallory, "PUT", f"/api/messages/{message['id']}", message["id"], body)
    assert (await alice.get(f"/api/messages/{message['id']}")).json()["message"] == message
