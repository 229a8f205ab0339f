"""GET and DELETE /api/images/:id"""

import asyncio
from typing import Any

import pytest

from media_store.models import Image
from nanobanana.redisdb.exceptions import DoesNotExist
from tests.media_store.uploads import stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of


@pytest.fixture
async def image(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    return await alice.make_image(session["id"])


# ---- reading
async def test_it_answers_with_the_image(alice: Person, image: dict[str, Any]) -> None:
    answer = await alice.phone.get(f"/api/images/{image['id']}")
    assert (answer.status_code, answer.json()) == (200, {"image": image})
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_it_counts_the_messages_that_show_it(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    for count in (1, 2):
        await alice.make_message(session["id"], imageIds=[image["id"]])
        read = (await alice.get(f"/api/images/{image['id']}")).json()["image"]
        assert read == {**image, "refCount": count}


async def test_reading_is_private(alice: Person, mallory: Person, image: dict[str, Any]) -> None:
    await assert_private(alice, mallory, "GET", f"/api/images/{image['id']}", image["id"])


# ---- deleting
async def test_it_is_gone_with_its_bytes_and_the_devices_in_the_session_hear_of_it(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    answer = await alice.delete(f"/api/images/{image['id']}")
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    assert (await alice.get(f"/api/images/{image['id']}")).status_code == 404
    assert (await alice.get("/api/images/user/all")).json()["images"] == []
    assert (await alice.get(f"/api/images/session/{session['id']}")).json()["images"] == []
    with pytest.raises(DoesNotExist):
        await Image.objects.aget(alice.id, image["id"])
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []
    frame = await alice.phone.next_frame()
    assert frame["type"] == "image_deleted"
    assert frame["payload"] == {"sessionId": session["id"], "imageId": image["id"]}
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_devices_elsewhere_hear_nothing(alice: Person, image: dict[str, Any]) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    await alice.delete(f"/api/images/{image['id']}")
    assert await alice.phone.heard() == []


async def test_one_that_a_message_shows_cannot_be_deleted(
    alice: Person, session: dict[str, Any], image: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.phone.listen(session["id"])
    answer = await alice.delete(f"/api/images/{image['id']}")
    assert (answer.status_code, answer.json()["error"]) == (409, "image_in_use")
    assert (await alice.get(f"/api/images/{image['id']}")).status_code == 200
    assert len(await stored_keys(alice.id)) == 2
    assert await alice.phone.heard() == []
    await alice.delete(f"/api/messages/{message['id']}")
    assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200


async def test_it_can_be_deleted_once(alice: Person, image: dict[str, Any]) -> None:
    answers = await asyncio.gather(
        *(device.delete(f"/api/images/{image['id']}") for device in (alice.laptop, alice.phone) * 3)
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[404] * 5]
    never = await alice.delete(f"/api/images/{'0' * 26}")
    assert {str(content_of(answer)) for answer in answers if answer.status_code == 404} == {
        str(content_of(never))
    }


async def test_it_is_deleted_or_shown_when_both_come_at_once(alice: Person, session: dict[str, Any]) -> None:
    for _ in range(10):
        image = await alice.make_image(session["id"])
        body = {"role": "user", "text": "Look", "imageIds": [image["id"]]}
        shown, deleted = await asyncio.gather(
            alice.post(f"/api/sessions/{session['id']}/messages", body),
            alice.phone.delete(f"/api/images/{image['id']}"),
        )
        assert (shown.status_code, deleted.status_code) in {(201, 409), (404, 200)}
    assert await inconsistencies([alice.id]) == []


async def test_deleting_is_private(alice: Person, mallory: Person, image: dict[str, Any]) -> None:
    await assert_private(alice, mallory, "DELETE", f"/api/images/{image['id']}", image["id"])
    assert (await alice.get(f"/api/images/{image['id']}")).status_code == 200
    assert len(await stored_keys(alice.id)) == 2
