"""PUT /api/sessions/:id"""

from typing import Any

from chats.models import TITLE_BY_DEFAULT, TITLE_BY_PERSON, Session
from tests.support.people import Person
from tests.support.strangers import assert_private


async def test_it_answers_with_the_new_title_and_tells_the_other_device(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    answer = await alice.put(f"/api/sessions/{session['id']}", {"title": " Cats "})
    assert answer.status_code == 200
    renamed = answer.json()["session"]
    assert (renamed["id"], renamed["title"]) == (session["id"], "Cats")
    assert renamed["updatedAt"] >= session["updatedAt"]
    stored = await Session.objects.aget(alice.id, session["id"])
    assert (stored.title, stored.title_origin) == ("Cats", TITLE_BY_PERSON)
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("session_updated", {"session": renamed})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_the_same_title_again_changes_nothing_and_wakes_nobody(alice: Person) -> None:
    session = await alice.make_session("Cats")
    await alice.phone.listen(session["id"])
    answer = await alice.put(f"/api/sessions/{session['id']}", {"title": "Cats"})
    assert (answer.status_code, answer.json()["session"]) == (200, session)
    assert answer.headers["X-Sync-Cursor"] == await alice.position()
    assert await alice.phone.heard() == []


async def test_a_title_that_a_person_gives_stays_even_when_it_is_the_default(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.put(f"/api/sessions/{session['id']}", {"title": "New Chat"})
    await alice.make_message(session["id"], "Paint me a cat")
    assert (await Session.objects.aget(alice.id, session["id"])).title == "New Chat"


async def test_other_fields_are_left_alone(alice: Person, session: dict[str, Any]) -> None:
    body = {"title": "Cats", "id": "0" * 26, "userId": "0" * 26, "messageCount": 9, "deletedAt": "2001-01-01"}
    answer = await alice.put(f"/api/sessions/{session['id']}", body)
    renamed = answer.json()["session"]
    assert renamed == {**session, "title": "Cats", "updatedAt": renamed["updatedAt"]}


async def test_a_bad_title_is_refused_and_the_old_one_stays(alice: Person, session: dict[str, Any]) -> None:
    for body in ({}, {"title": ""}, {"title": "  "}, {"title": None}, {"title": 5}, {"title": "x" * 101}):
        answer = await alice.put(f"/api/sessions/{session['id']}", body)
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["title"]), body
    stored = await Session.objects.aget(alice.id, session["id"])
    assert (stored.title, stored.title_origin) == ("New Chat", TITLE_BY_DEFAULT)


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}"
    await assert_private(alice, mallory, "PUT", path, session["id"], {"title": "Mine now"})
    assert (await Session.objects.aget(alice.id, session["id"])).title == "New Chat"
