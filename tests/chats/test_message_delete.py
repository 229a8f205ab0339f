"""DELETE /api/messages/:id"""

import asyncio
from typing import Any

import pytest

from chats.models import Message, Session
from media_store.models import Image
from nanobanana.redisdb.exceptions import DoesNotExist
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of


async def test_it_is_gone_and_the_devices_in_the_session_hear_of_it(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.phone.listen(session["id"])
    answer = await alice.delete(f"/api/messages/{message['id']}")
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    assert (await alice.get(f"/api/messages/{message['id']}")).status_code == 404
    assert (await alice.get(f"/api/sessions/{session['id']}/messages")).json()["messages"] == []
    with pytest.raises(DoesNotExist):
        await Message.objects.aget(alice.id, message["id"])
    assert (await Image.objects.aget(alice.id, image["id"])).ref_count == 0
    assert await inconsistencies([alice.id]) == []
    deleted, updated = [await alice.phone.next_frame() for _ in range(2)]
    assert deleted["type"] == "message_deleted"
    assert deleted["payload"] == {"sessionId": session["id"], "messageId": message["id"]}
    assert updated["type"] == "session_updated"
    assert updated["payload"]["session"]["messageCount"] == 0
    assert updated["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_it_is_an_activity_of_its_session(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    before = await Session.objects.aget(alice.id, session["id"])
    await alice.delete(f"/api/messages/{message['id']}")
    after = await Session.objects.aget(alice.id, session["id"])
    assert (before.message_count, after.message_count) == (1, 0)
    assert after.updated_at > before.updated_at


async def test_others_stay_with_their_edits_of_it(alice: Person, session: dict[str, Any]) -> None:
    original = await alice.make_message(session["id"], "original")
    edited = await alice.make_message(session["id"], "edited", editedOf=original["id"])
    await alice.delete(f"/api/messages/{original['id']}")
    assert (await alice.get(f"/api/messages/{edited['id']}")).json() == {"message": edited}


async def test_it_can_be_deleted_once(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    answers = await asyncio.gather(
        *(device.delete(f"/api/messages/{message['id']}") for device in (alice.laptop, alice.phone) * 5)
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[404] * 9]
    never = await alice.delete(f"/api/messages/{'0' * 26}")
    assert {str(content_of(answer)) for answer in answers if answer.status_code == 404} == {
        str(content_of(never))
    }
    assert (await Session.objects.aget(alice.id, session["id"])).message_count == 0


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await assert_private(alice, mallory, "DELETE", f"/api/messages/{message['id']}", message["id"])
    assert (await alice.get(f"/api/messages/{message['id']}")).status_code == 200
