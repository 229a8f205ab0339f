"""DELETE /api/sessions/:id"""

from typing import Any

import pytest

from chats.models import Message, Session, TrashedSession
from nanobanana.redisdb.exceptions import DoesNotExist
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of


async def test_it_is_gone_everywhere_at_once(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    answer = await alice.delete(f"/api/sessions/{session['id']}")
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    for path in (
        f"/api/sessions/{session['id']}",
        f"/api/sessions/{session['id']}/messages",
        f"/api/sessions/{session['id']}/stats",
        f"/api/images/session/{session['id']}",
        f"/api/messages/{message['id']}",
        f"/api/messages/{message['id']}/images",
    ):
        assert (await alice.phone.get(path)).status_code == 404, path
    listed = (await alice.phone.get("/api/sessions")).json()
    assert (listed["sessions"], listed["pagination"]["total"]) == ([], 0)


async def test_nothing_can_be_done_with_it_any_more(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    image = await alice.make_image(session["id"])
    await alice.delete(f"/api/sessions/{session['id']}")
    for method, path, body in (
        ("PUT", f"/api/sessions/{session['id']}", {"title": "Cats"}),
        ("DELETE", f"/api/sessions/{session['id']}", None),
        ("POST", f"/api/sessions/{session['id']}/messages", {"role": "user", "text": "Hello?"}),
        ("PUT", f"/api/messages/{message['id']}", {"text": "Hello?"}),
        ("DELETE", f"/api/messages/{message['id']}", None),
        ("POST", f"/api/messages/{message['id']}/images", {"imageId": image["id"]}),
    ):
        answer = await alice.laptop.request(method, path, json=body)
        assert answer.status_code == 404, path
    assert (await alice.upload(session["id"], b"")).status_code == 404
    assert await inconsistencies([alice.id]) == []


async def test_it_goes_to_the_trash_with_all_it_has(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await alice.delete(f"/api/sessions/{session['id']}")
    with pytest.raises(DoesNotExist):
        await Session.objects.aget(alice.id, session["id"])
    trashed = await TrashedSession.objects.aget(alice.id, session["id"])
    assert (trashed.title, trashed.message_count) == ("Hello", 1)
    assert trashed.deleted_at is not None
    assert (await Message.objects.aget(alice.id, message["id"])).text == "Hello"
    assert await inconsistencies([alice.id]) == []


async def test_its_images_stay_readable_by_their_ids(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    await alice.delete(f"/api/sessions/{session['id']}")
    assert (await alice.phone.get(f"/api/images/{image['id']}")).json() == {"image": image}
    listed = (await alice.phone.get("/api/images/user/all")).json()
    assert listed["images"] == [image]


async def test_its_images_can_still_be_shown_elsewhere(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    await alice.delete(f"/api/sessions/{session['id']}")
    message = await alice.make_message((await alice.make_session())["id"], imageIds=[image["id"]])
    assert message["images"] == [{**image, "refCount": 1}]
    assert await inconsistencies([alice.id]) == []


async def test_all_devices_hear_of_it(alice: Person, session: dict[str, Any]) -> None:
    elsewhere = await alice.make_session()
    await alice.phone.listen(elsewhere["id"])
    answer = await alice.delete(f"/api/sessions/{session['id']}")
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("session_deleted", {"sessionId": session["id"]})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_it_can_be_deleted_once(alice: Person, session: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{session['id']}")
    await alice.phone.listen((await alice.make_session())["id"])
    again = await alice.delete(f"/api/sessions/{session['id']}")
    never = await alice.delete(f"/api/sessions/{'0' * 26}")
    assert (again.status_code, content_of(again)) == (404, content_of(never))
    assert await alice.phone.heard() == []


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await assert_private(alice, mallory, "DELETE", f"/api/sessions/{session['id']}", session["id"])
    assert (await alice.get(f"/api/sessions/{session['id']}")).status_code == 200
