"""GET /api/sessions/trash"""

from typing import Any

import pytest

from tests.support.people import Person
from tests.support.strangers import assert_signed_out


async def trash_of(person: Person, query: str = "") -> dict[str, Any]:
    answer = await person.phone.get(f"/api/sessions/trash{query}")
    assert answer.status_code == 200
    return answer.json()


async def throw_away(person: Person, *titles: str) -> list[dict[str, Any]]:
    sessions = [await person.make_session(title) for title in titles]
    for session in sessions:
        assert (await person.delete(f"/api/sessions/{session['id']}")).status_code == 200
    return sessions


async def test_the_one_deleted_last_comes_first(alice: Person, session: dict[str, Any]) -> None:
    assert (await trash_of(alice))["sessions"] == []
    await throw_away(alice, "Cats", "Dogs", "Birds")
    found = await trash_of(alice)
    assert [thrown["title"] for thrown in found["sessions"]] == ["Birds", "Dogs", "Cats"]
    assert all(thrown["deletedAt"] for thrown in found["sessions"])
    assert found["pagination"] == {"limit": 20, "offset": 0, "total": 3, "hasMore": False, "nextCursor": None}


async def test_it_shows_what_the_session_was(alice: Person) -> None:
    session = await alice.make_session("Cats")
    await alice.make_message(session["id"])
    body = {"pinned": True, "tags": ["animals"]}
    before = (await alice.put(f"/api/sessions/{session['id']}", body)).json()["session"]
    await alice.delete(f"/api/sessions/{session['id']}")
    (thrown,) = (await trash_of(alice))["sessions"]
    assert thrown == {**before, "deletedAt": thrown["deletedAt"]}


async def test_its_pages_follow_each_other(alice: Person) -> None:
    await throw_away(alice, *"abcde")
    first = await trash_of(alice, "?limit=2")
    assert (first["pagination"]["total"], first["pagination"]["hasMore"]) == (5, True)
    second = await trash_of(alice, f"?limit=2&cursor={first['pagination']['nextCursor']}")
    third = await trash_of(alice, "?limit=2&offset=4")
    titles = [thrown["title"] for page in (first, second, third) for thrown in page["sessions"]]
    assert titles == list("edcba")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "cursor=x"])
async def test_nonsense_is_refused(alice: Person, query: str) -> None:
    assert (await alice.get(f"/api/sessions/trash?{query}")).status_code == 400


async def test_it_is_private(alice: Person, mallory: Person) -> None:
    await throw_away(alice, "Cats")
    assert (await trash_of(mallory))["sessions"] == []
    assert_signed_out(await alice.get("/api/sessions/trash", headers={"Authorization": "Bearer nonsense"}))
