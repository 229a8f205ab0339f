"""GET and POST /api/messages/:id/images, DELETE /api/messages/:id/images/:imageId"""

import asyncio
from typing import Any

import pytest

from chats.models import Message
from media_store.models import Image
from nanobanana.redisdb.ids import new_id
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"])


async def shown_in(person: Person, message: dict[str, Any]) -> list[str]:
    return (await Message.objects.aget(person.id, message["id"])).image_ids


async def ref_count(person: Person, image: dict[str, Any]) -> int:
    return (await Image.objects.aget(person.id, image["id"])).ref_count


async def test_they_are_listed_in_their_order(alice: Person, session: dict[str, Any]) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(3)][::-1]
    message = await alice.make_message(session["id"], imageIds=image_ids)
    answer = await alice.phone.get(f"/api/messages/{message['id']}/images")
    assert (answer.status_code, answer.json()) == (200, {"images": message["images"]})
    assert [shown["id"] for shown in answer.json()["images"]] == image_ids


async def test_one_is_added_at_the_end(alice: Person, session: dict[str, Any], image: dict[str, Any]) -> None:
    first = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], imageIds=[first["id"]])
    await alice.phone.listen(session["id"])
    answer = await alice.post(f"/api/messages/{message['id']}/images", {"imageId": image["id"]})
    assert answer.status_code == 200
    changed = answer.json()["messageData"]
    assert changed["imageIds"] == [first["id"], image["id"]]
    assert [shown["id"] for shown in changed["images"]] == changed["imageIds"]
    assert await shown_in(alice, message) == changed["imageIds"]
    assert await ref_count(alice, image) == 1
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("message_updated", {"message": changed})


async def test_one_that_is_shown_already_changes_nothing(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.phone.listen(session["id"])
    answer = await alice.post(f"/api/messages/{message['id']}/images", {"imageId": image["id"]})
    assert (answer.status_code, answer.json()["messageData"]) == (200, message)
    assert await ref_count(alice, image) == 1
    assert await alice.phone.heard() == []


async def test_a_message_shows_twenty_at_most(alice: Person, session: dict[str, Any]) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(21)]
    message = await alice.make_message(session["id"], imageIds=image_ids[:19])
    answers = [
        await alice.post(f"/api/messages/{message['id']}/images", {"imageId": image_id})
        for image_id in image_ids[19:]
    ]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert await shown_in(alice, message) == image_ids[:20]


async def test_one_is_taken_out(alice: Person, session: dict[str, Any], image: dict[str, Any]) -> None:
    stays = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], imageIds=[image["id"], stays["id"]])
    await alice.phone.listen(session["id"])
    answer = await alice.delete(f"/api/messages/{message['id']}/images/{image['id']}")
    assert answer.status_code == 200
    changed = answer.json()["messageData"]
    assert [shown["id"] for shown in changed["images"]] == changed["imageIds"] == [stays["id"]]
    assert await shown_in(alice, message) == [stays["id"]]
    assert (await ref_count(alice, image), await ref_count(alice, stays)) == (0, 1)
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("message_updated", {"message": changed})


async def test_one_that_is_not_shown_cannot_be_taken_out(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"])
    await alice.phone.listen(session["id"])
    for image_id in (image["id"], new_id(), "nonsense"):
        answer = await alice.delete(f"/api/messages/{message['id']}/images/{image_id}")
        assert answer.status_code == 404
    assert await alice.phone.heard() == []


async def test_an_absent_or_foreign_image_is_not_found_and_nothing_changes(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    foreign = await mallory.make_image((await mallory.make_session())["id"])
    message = await alice.make_message(session["id"])
    never = await alice.post(f"/api/messages/{message['id']}/images", {"imageId": new_id()})
    for image_id in (foreign["id"], "nonsense", session["id"]):
        answer = await alice.post(f"/api/messages/{message['id']}/images", {"imageId": image_id})
        assert (answer.status_code, content_of(answer)) == (404, content_of(never))
    assert await shown_in(alice, message) == []
    assert await ref_count(mallory, foreign) == 0


async def test_a_bad_body_is_refused(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    for body in ({}, {"imageId": None}, {"imageId": 5}, {"imageId": ""}, {"imageIds": [new_id()]}):
        answer = await alice.post(f"/api/messages/{message['id']}/images", body)
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["imageId"]), body


async def test_all_that_are_added_at_once_are_shown(alice: Person, session: dict[str, Any]) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(20)]
    message = await alice.make_message(session["id"])
    answers = await asyncio.gather(
        *(
            device.post(f"/api/messages/{message['id']}/images", {"imageId": image_id})
            for image_id, device in zip(image_ids, (alice.laptop, alice.phone) * 10, strict=True)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(await shown_in(alice, message)) == sorted(image_ids)
    assert await inconsistencies([alice.id]) == []


async def test_they_are_private(
    alice: Person, mallory: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    path = f"/api/messages/{message['id']}/images"
    await assert_private(alice, mallory, "GET", path, message["id"])
    await assert_private(alice, mallory, "POST", path, message["id"], {"imageId": image["id"]})
    await assert_private(alice, mallory, "DELETE", f"{path}/{image['id']}", message["id"])
    assert await shown_in(alice, message) == [image["id"]]
