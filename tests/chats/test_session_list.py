"""GET /api/sessions"""

from typing import Any

from chats.models import Session
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.support.people import Person
from tests.support.strangers import assert_signed_out

NOTHING = {"limit": 20, "offset": 0, "total": 0, "hasMore": False, "nextCursor": None}


async def titles_of(person: Person, **query: str | int) -> list[str]:
    answer = await person.phone.get("/api/sessions", params=query)
    return [session["title"] for session in answer.json()["sessions"]]


async def page_of(person: Person, **query: str | int) -> tuple[list[str], dict[str, Any]]:
    answer = await person.phone.get("/api/sessions", params=query)
    assert answer.status_code == 200
    return [session["id"] for session in answer.json()["sessions"]], answer.json()["pagination"]


async def make_sessions(person: Person, count: int) -> list[str]:
    """The ids, newest first."""
    return [(await person.make_session(f"Session {number}"))["id"] for number in range(count)][::-1]


async def test_who_has_none_gets_an_empty_list(alice: Person) -> None:
    answer = await alice.get("/api/sessions")
    assert answer.json() == {"sessions": [], "pagination": NOTHING}


async def test_sessions_come_as_they_are_read_one_by_one(alice: Person) -> None:
    session = await alice.make_session("Cats")
    await alice.make_message(session["id"])
    read = await alice.get(f"/api/sessions/{session['id']}")
    listed = await alice.get("/api/sessions")
    assert listed.json()["sessions"] == [read.json()["session"]]
    assert listed.json()["sessions"][0]["messageCount"] == 1


async def test_the_latest_activity_comes_first(alice: Person) -> None:
    first, second, third = [await alice.make_session(title) for title in ("first", "second", "third")]
    assert await titles_of(alice) == ["third", "second", "first"]
    message = await alice.make_message(first["id"])
    assert await titles_of(alice) == ["first", "third", "second"]
    await alice.put(f"/api/sessions/{second['id']}", {"title": "renamed"})
    assert await titles_of(alice) == ["renamed", "first", "third"]
    await alice.delete(f"/api/messages/{message['id']}")
    assert await titles_of(alice) == ["first", "renamed", "third"]
    await alice.delete(f"/api/sessions/{third['id']}")
    assert await titles_of(alice) == ["first", "renamed"]


async def test_a_page_says_how_many_there_are_in_all(alice: Person) -> None:
    ids = await make_sessions(alice, 5)
    assert await page_of(alice, limit=2) == (
        ids[:2],
        {"limit": 2, "offset": 0, "total": 5, "hasMore": True, "nextCursor": await cursor_of(alice, ids[1])},
    )
    assert await page_of(alice, limit=2, offset=4) == (
        ids[4:],
        {"limit": 2, "offset": 4, "total": 5, "hasMore": False, "nextCursor": None},
    )
    assert await page_of(alice, limit=5) == (
        ids,
        {"limit": 5, "offset": 0, "total": 5, "hasMore": False, "nextCursor": None},
    )
    assert await page_of(alice, offset=1_000_000_000) == (
        [],
        {"limit": 20, "offset": 1_000_000_000, "total": 5, "hasMore": False, "nextCursor": None},
    )


async def cursor_of(person: Person, session_id: str) -> str:
    """The cursor behind a session: its score in the index and its id."""
    stored = await Session.objects.aget(person.id, session_id)
    return f"{milliseconds(stored.updated_at)}:{session_id}"


async def test_without_a_limit_a_page_has_twenty(alice: Person) -> None:
    ids = await make_sessions(alice, 21)
    listed, pagination = await page_of(alice)
    assert listed == ids[:20]
    assert (pagination["limit"], pagination["total"], pagination["hasMore"]) == (20, 21, True)


async def test_a_cursor_walks_all_pages(alice: Person) -> None:
    ids = await make_sessions(alice, 7)
    walked, pagination = await page_of(alice, limit=3)
    while pagination["hasMore"]:
        page, pagination = await page_of(alice, limit=3, cursor=pagination["nextCursor"])
        assert pagination["offset"] == len(walked)
        walked += page
    assert walked == ids
    assert pagination["nextCursor"] is None


async def test_a_walk_meets_what_stays_exactly_once_while_sessions_come_move_and_go(alice: Person) -> None:
    ids = await make_sessions(alice, 9)
    walked, pagination = await page_of(alice, limit=2)
    for step in range(20):
        if not pagination["hasMore"]:
            break
        await alice.make_session(f"newcomer {step}")
        await alice.put(f"/api/sessions/{walked[0]}", {"title": f"moved to the front {step}"})
        if step == 1:  # the very entry that the cursor names
            await alice.delete(f"/api/sessions/{walked[-1]}")
        page, pagination = await page_of(alice, limit=2, cursor=pagination["nextCursor"])
        walked += page
    assert walked == ids


async def test_sessions_of_one_millisecond_are_walked_once_each(alice: Person) -> None:
    ids, moment = await make_sessions(alice, 7), now()
    async with unit_of_work(alice.id) as work:
        for session_id in ids:
            Session.objects.update(work, Session(alice.id, session_id), updated_at=moment)
    walked, pagination = await page_of(alice, limit=2)
    while pagination["hasMore"]:
        page, pagination = await page_of(alice, limit=2, cursor=pagination["nextCursor"])
        walked += page
    assert walked == ids


BAD_VALUES = {
    "limit": ["0", "-1", "101", "1.5", "ten", "", "1e2", "٣", "9" * 40, " 5"],
    "offset": ["-1", "1000000001", "0x1", "", "\x00", "1;2"],
    "cursor": ["nonsense", "1:2", ":", "-1:" + "0" * 26, "1:" + "0" * 25 + "U"],
}


async def test_a_bad_value_is_refused_and_named(alice: Person) -> None:
    for name, values in BAD_VALUES.items():
        for value in values:
            answer = await alice.get("/api/sessions", params={name: value})
            assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed"), value
            assert list(answer.json()["details"]) == [name]


async def test_the_largest_page_has_a_hundred(alice: Person) -> None:
    _, pagination = await page_of(alice, limit=100)
    assert pagination["limit"] == 100


async def test_nobody_sees_the_sessions_of_others(alice: Person, mallory: Person) -> None:
    await alice.make_session()
    assert await page_of(mallory) == ([], NOTHING)


async def test_it_wants_a_token(alice: Person) -> None:
    assert_signed_out(await alice.laptop.request("GET", "/api/sessions", headers={"Authorization": ""}))
