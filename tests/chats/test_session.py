"""GET /api/sessions/:id"""

from typing import Any

from chats.models import Session
from tests.support.people import Person
from tests.support.strangers import assert_private


async def test_it_answers_with_the_session(alice: Person) -> None:
    created = await alice.make_session("Cats")
    answer = await alice.phone.get(f"/api/sessions/{created['id']}")
    assert answer.status_code == 200
    assert answer.json() == {"session": created}


async def test_it_has_exactly_the_fields_of_the_contract(alice: Person, session: dict[str, Any]) -> None:
    stored = await Session.objects.aget(alice.id, session["id"])
    answer = await alice.get(f"/api/sessions/{session['id']}")
    moment = stored.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert answer.json()["session"] == {
        "id": stored.id,
        "userId": alice.id,
        "title": "New Chat",
        "pinned": False,
        "archived": False,
        "tags": [],
        "createdAt": moment,
        "updatedAt": moment,
        "messageCount": 0,
        "deletedAt": None,
    }


async def test_reading_says_nothing_to_other_devices(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen(session["id"])
    answer = await alice.get(f"/api/sessions/{session['id']}")
    assert answer.headers["X-Sync-Cursor"] == await alice.position()
    assert await alice.phone.heard() == []


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await assert_private(alice, mallory, "GET", f"/api/sessions/{session['id']}", session["id"])


async def test_it_takes_no_other_method(alice: Person, session: dict[str, Any]) -> None:
    answer = await alice.laptop.request("PATCH", f"/api/sessions/{session['id']}", json={"title": "Cats"})
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, PUT"
