"""POST /api/sessions/:id/restore"""

import asyncio
from typing import Any

import pytest

from accounts.models import User
from chats.services import trash
from nanobanana.redisdb.unit_of_work import Operation
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private

FULL = {"title": "Cats", "pinned": True, "tags": ["animals", "pictures"]}


@pytest.fixture
async def full(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    """A session with messages, a picture, a title, tags, and pinned."""
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.make_message(session["id"], "And again", role="assistant")
    return (await alice.put(f"/api/sessions/{session['id']}", FULL)).json()["session"]


async def everything(person: Person, session_id: str) -> list[Any]:
    paths = (
        f"/api/sessions/{session_id}",
        f"/api/sessions/{session_id}/messages",
        f"/api/sessions/{session_id}/stats",
        f"/api/images/session/{session_id}",
        "/api/sessions",
        "/api/sessions?tag=animals",
    )
    return [(await person.phone.get(path)).json() for path in paths]


async def test_it_comes_back_complete(alice: Person, full: dict[str, Any]) -> None:
    await alice.make_session("Dogs")
    before = await everything(alice, full["id"])
    await alice.delete(f"/api/sessions/{full['id']}")
    answer = await alice.post(f"/api/sessions/{full['id']}/restore")
    assert answer.status_code == 200
    assert answer.json()["session"] == full
    assert answer.json()["session"]["deletedAt"] is None
    assert await everything(alice, full["id"]) == before
    assert (await alice.get("/api/sessions/trash")).json()["sessions"] == []
    assert await inconsistencies([alice.id]) == []


async def test_an_archived_one_comes_back_to_the_archive(alice: Person, session: dict[str, Any]) -> None:
    await alice.put(f"/api/sessions/{session['id']}", {"archived": True})
    await alice.delete(f"/api/sessions/{session['id']}")
    await alice.post(f"/api/sessions/{session['id']}/restore")
    assert (await alice.get("/api/sessions")).json()["sessions"] == []
    assert len((await alice.get("/api/sessions?archived=true")).json()["sessions"]) == 1
    assert await inconsistencies([alice.id]) == []


async def test_all_devices_hear_of_it(alice: Person, full: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{full['id']}")
    await alice.phone.listen((await alice.make_session())["id"])
    answer = await alice.post(f"/api/sessions/{full['id']}/restore")
    (frame,) = await alice.phone.heard()
    assert (frame["type"], frame["payload"]) == ("session_restored", {"session": full})
    assert (frame["sessionId"], frame["cursor"]) == (full["id"], answer.headers["X-Sync-Cursor"])


async def test_it_can_be_used_again(alice: Person, session: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{session['id']}")
    await alice.post(f"/api/sessions/{session['id']}/restore")
    await alice.make_message(session["id"])
    await alice.make_image(session["id"])
    await alice.delete(f"/api/sessions/{session['id']}")
    assert (await alice.post(f"/api/sessions/{session['id']}/restore")).status_code == 200
    assert await inconsistencies([alice.id]) == []


async def test_what_is_not_in_the_trash_is_not_restored(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen(session["id"])
    assert (await alice.post(f"/api/sessions/{session['id']}/restore")).status_code == 404
    assert await alice.phone.heard() == []


async def test_of_two_at_once_one_restores(alice: Person, session: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{session['id']}")
    path = f"/api/sessions/{session['id']}/restore"
    answers = await asyncio.gather(*(alice.post(path) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_operation_is_answered_as_the_first_time(
    user: User, alice: Person, session: dict[str, Any]
) -> None:
    await alice.delete(f"/api/sessions/{session['id']}")
    operation = Operation("1" * 32, "the same request")
    first = await trash.restore_session(user=user, session_id=session["id"], operation=operation)
    again = await trash.restore_session(user=user, session_id=session["id"], operation=operation)
    assert first == again


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{session['id']}")
    await assert_private(alice, mallory, "POST", f"/api/sessions/{session['id']}/restore", session["id"])
    assert len((await alice.get("/api/sessions/trash")).json()["sessions"]) == 1
