"""PUT /api/sessions/:id"""

import asyncio
from typing import Any

from chats.models import TITLE_BY_DEFAULT, TITLE_BY_PERSON, Session
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private


async def titles_of(person: Person, **query: str | int) -> list[str]:
    answer = await person.phone.get("/api/sessions", params=query)
    return [session["title"] for session in answer.json()["sessions"]]


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


# ---- pins, the archive, tags
async def test_a_pinned_session_comes_first_and_stays_there(alice: Person) -> None:
    first, second, third = [await alice.make_session(title) for title in ("first", "second", "third")]
    await alice.phone.listen(third["id"])
    for session in (second, first):
        answer = await alice.put(f"/api/sessions/{session['id']}", {"pinned": True})
        pinned = answer.json()["session"]
        assert (answer.status_code, pinned) == (200, {**session, "pinned": True})
        frame = await alice.phone.next_frame()
        assert (frame["type"], frame["payload"]) == ("session_updated", {"session": pinned})
    assert await titles_of(alice) == ["first", "second", "third"]
    await alice.make_message(second["id"])
    await alice.make_message(third["id"])
    assert await titles_of(alice) == ["first", "second", "third"]
    await alice.put(f"/api/sessions/{first['id']}", {"pinned": False})
    assert await titles_of(alice) == ["second", "third", "first"]
    assert await inconsistencies([alice.id]) == []


async def test_an_archived_session_is_in_a_list_of_its_own(alice: Person, session: dict[str, Any]) -> None:
    await alice.make_session("other")
    path = f"/api/sessions/{session['id']}"
    archived = (await alice.put(path, {"archived": True, "pinned": True})).json()["session"]
    assert archived == {**session, "archived": True, "pinned": True}
    assert await titles_of(alice) == ["other"]
    assert await titles_of(alice, archived="true") == ["New Chat"]
    message = await alice.make_message(session["id"], "It can still be written to")
    assert (await alice.get(f"/api/messages/{message['id']}")).is_success
    assert await titles_of(alice, archived="true") == ["It can still be written to"]
    assert await titles_of(alice) == ["other"]
    await alice.put(path, {"archived": False})
    assert await titles_of(alice) == ["It can still be written to", "other"]
    assert await inconsistencies([alice.id]) == []


async def test_sessions_are_found_by_tag(alice: Person) -> None:
    tags = {"one": ["cats", "猫"], "two": ["cats"], "three": [], "four": ["cats", "old"]}
    for title, of_it in tags.items():
        path = f"/api/sessions/{(await alice.make_session(title))['id']}"
        assert (await alice.put(path, {"tags": of_it})).json()["session"]["tags"] == of_it
        await alice.put(path, {"archived": title == "four"})
    assert await titles_of(alice, tag="cats") == ["two", "one"]
    assert await titles_of(alice, tag="猫") == ["one"]
    assert await titles_of(alice, tag="cats", archived="true") == ["four"]
    assert await titles_of(alice, tag="dogs") == []
    assert await titles_of(alice, tag="") == ["three", "two", "one"]
    assert await inconsistencies([alice.id]) == []


async def test_sessions_are_found_by_their_titles(alice: Person, mallory: Person) -> None:
    for title in ("Cats on the moon", "A cat", "Köln bei Nacht", "给猫咪戴上王冠"):
        await alice.make_session(title)
    await alice.put(f"/api/sessions/{(await alice.make_session('Old cats'))['id']}", {"archived": True})
    assert await titles_of(alice, q="cat") == ["A cat", "Cats on the moon"]
    assert await titles_of(alice, q='"the MOON"') == ["Cats on the moon"]
    assert await titles_of(alice, q="koln") == ["Köln bei Nacht"]
    assert await titles_of(alice, q="王冠") == ["给猫咪戴上王冠"]
    assert await titles_of(alice, q="cat", archived="true") == ["Old cats"]
    assert await titles_of(alice, q="cat", limit=1, offset=1) == ["Cats on the moon"]
    assert await titles_of(alice, q="cat", tag="none") == []
    assert await titles_of(alice, q="!?") == []
    assert await titles_of(mallory, q="cat") == []


async def test_a_list_by_tag_has_pages(alice: Person) -> None:
    for number in range(7):
        session = await alice.make_session(f"{number}")
        await alice.put(f"/api/sessions/{session['id']}", {"tags": ["a"], "pinned": number == 2})
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        query = {"tag": "a", "limit": 3, "cursor": cursor}
        answer = (await alice.get("/api/sessions", params=query)).json()
        assert (answer["pagination"]["total"], answer["pagination"]["offset"]) == (7, len(found))
        found += [session["title"] for session in answer["sessions"]]
        cursor = answer["pagination"]["nextCursor"]
    assert found == ["2", "6", "5", "4", "3", "1", "0"]
    assert await titles_of(alice, tag="a", limit=2, offset=5) == ["1", "0"]
    assert await titles_of(alice, tag="a", offset=7) == []


async def test_pages_go_over_the_pinned_ones_too(alice: Person) -> None:
    for number in range(5):
        session = await alice.make_session(f"{number}")
        await alice.put(f"/api/sessions/{session['id']}", {"pinned": number < 2})
    first = (await alice.get("/api/sessions", params={"limit": 1})).json()
    second = await titles_of(alice, limit=2, cursor=first["pagination"]["nextCursor"])
    assert [first["sessions"][0]["title"], *second] == ["1", "0", "4"]


async def test_tags_are_told_apart_and_kept_in_order(alice: Person, session: dict[str, Any]) -> None:
    answer = await alice.put(f"/api/sessions/{session['id']}", {"tags": [" b ", "a", "b", "B", "a:{*}"]})
    assert answer.json()["session"]["tags"] == ["b", "a", "B", "a:{*}"]
    assert await titles_of(alice, tag="a:{*}") == ["New Chat"]
    assert await inconsistencies([alice.id]) == []


async def test_what_is_so_already_wakes_nobody(alice: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}"
    await alice.put(path, {"pinned": True, "tags": ["a"]})
    await alice.phone.listen(session["id"])
    for body in (
        {"pinned": True},
        {"archived": False},
        {"tags": ["a"]},
        {"pinned": True, "tags": ["a", "a"]},
    ):
        answer = await alice.put(path, body)
        assert answer.status_code == 200
        assert answer.headers["X-Sync-Cursor"] == await alice.position()
    assert await alice.phone.heard() == []


async def test_many_devices_may_change_one_session_at_once(alice: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}"
    bodies = [{"pinned": True}, {"tags": ["a"]}, {"archived": True}, {"title": "Cats"}, {"tags": ["b"]}] * 3
    answers = await asyncio.gather(*(alice.put(path, body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    stored = (await alice.get(path)).json()["session"]
    assert (stored["pinned"], stored["archived"], stored["title"]) == (True, True, "Cats")
    assert stored["tags"] in (["a"], ["b"])
    assert await inconsistencies([alice.id]) == []


async def test_nonsense_is_refused_and_changes_nothing(alice: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}"
    for field, values in {
        "pinned": ("true", 1, None, []),
        "archived": ("false", 0, None, {}),
        "tags": (
            "a",
            None,
            [""],
            ["  "],
            [1],
            [None],
            ["x" * 51],
            ["\n"],
            ["\u202e"],
            list(map(str, range(21))),
        ),
    }.items():
        for value in values:
            answer = await alice.put(path, {field: value})
            assert (answer.status_code, list(answer.json()["details"])) == (400, [field]), value
    assert (await alice.get(path)).json()["session"] == session
    for query in (
        {"archived": "yes"},
        {"archived": "True"},
        {"tag": "x" * 51},
        {"tag": "\x00"},
        {"q": "x" * 1001},
    ):
        answer = await alice.get("/api/sessions", params=query)
        assert (answer.status_code, list(answer.json()["details"])) == (400, list(query))


async def test_tags_and_the_archive_are_private(alice: Person, mallory: Person) -> None:
    session = await alice.make_session("Alice's")
    await alice.put(f"/api/sessions/{session['id']}", {"tags": ["a"]})
    assert await titles_of(mallory, tag="a") == []
    await alice.put(f"/api/sessions/{session['id']}", {"archived": True})
    assert await titles_of(mallory, tag="a", archived="true") == []
