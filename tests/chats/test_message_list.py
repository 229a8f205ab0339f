"""GET /api/sessions/:id/messages"""

from typing import Any

from nanobanana.redisdb.ids import new_id
from tests.support.people import Person
from tests.support.strangers import assert_private


async def page_of(
    person: Person, session: dict[str, Any], **query: str | int
) -> tuple[list[str], dict[str, Any]]:
    answer = await person.phone.get(f"/api/sessions/{session['id']}/messages", params=query)
    assert answer.status_code == 200, answer.text
    return [message["text"] for message in answer.json()["messages"]], answer.json()["pagination"]


async def make_messages(person: Person, session: dict[str, Any], count: int) -> list[dict[str, Any]]:
    return [await person.make_message(session["id"], f"{number}") for number in range(count)]


async def test_an_empty_session_has_an_empty_list(alice: Person, session: dict[str, Any]) -> None:
    assert await page_of(alice, session) == (
        [],
        {"limit": 50, "offset": 0, "total": 0, "hasMore": False, "nextCursor": None},
    )


async def test_messages_come_as_they_are_read_one_by_one_with_their_images(
    alice: Person, session: dict[str, Any]
) -> None:
    images = [await alice.make_image(session["id"]) for _ in range(3)]
    image_ids = [image["id"] for image in images]
    bare = await alice.make_message(session["id"], "bare")
    both = await alice.make_message(session["id"], "both", imageIds=image_ids[::-1][:2])
    shared = await alice.make_message(session["id"], "shared", imageIds=image_ids[1:2])
    listed = (await alice.phone.get(f"/api/sessions/{session['id']}/messages")).json()["messages"]
    read = [
        (await alice.phone.get(f"/api/messages/{message['id']}")).json()["message"]
        for message in (bare, both, shared)
    ]
    assert listed == read
    assert [[image["id"] for image in message["images"]] for message in listed] == [
        [],
        [image_ids[2], image_ids[1]],
        [image_ids[1]],
    ]
    assert [image["refCount"] for image in listed[1]["images"]] == [1, 2]


async def test_the_oldest_comes_first_unless_asked_otherwise(alice: Person, session: dict[str, Any]) -> None:
    await make_messages(alice, session, 4)
    assert (await page_of(alice, session))[0] == ["0", "1", "2", "3"]
    assert (await page_of(alice, session, order="asc", limit=2, offset=1))[0] == ["1", "2"]
    assert (await page_of(alice, session, order="desc"))[0] == ["3", "2", "1", "0"]
    assert (await page_of(alice, session, order="desc", limit=2, offset=1))[0] == ["2", "1"]


async def test_a_page_says_how_many_there_are_in_all(alice: Person, session: dict[str, Any]) -> None:
    await make_messages(alice, session, 3)
    texts, pagination = await page_of(alice, session, limit=2)
    assert texts == ["0", "1"]
    assert pagination == {
        "limit": 2,
        "offset": 0,
        "total": 3,
        "hasMore": True,
        "nextCursor": pagination["nextCursor"],
    }
    texts, pagination = await page_of(alice, session, limit=2, cursor=pagination["nextCursor"])
    assert texts == ["2"]
    assert pagination == {"limit": 2, "offset": 2, "total": 3, "hasMore": False, "nextCursor": None}


async def test_a_cursor_walks_all_pages_either_way(alice: Person, session: dict[str, Any]) -> None:
    await make_messages(alice, session, 7)
    for order, expected in (("asc", "0123456"), ("desc", "6543210")):
        walked, pagination = await page_of(alice, session, limit=3, order=order)
        while pagination["hasMore"]:
            texts, pagination = await page_of(
                alice, session, limit=3, order=order, cursor=pagination["nextCursor"]
            )
            walked += texts
        assert "".join(walked) == expected


async def test_a_walk_survives_the_deletion_of_the_message_it_stands_at(
    alice: Person, session: dict[str, Any]
) -> None:
    messages = await make_messages(alice, session, 6)
    _, pagination = await page_of(alice, session, limit=3)
    for message in messages[1:3]:
        await alice.delete(f"/api/messages/{message['id']}")
    texts, _ = await page_of(alice, session, limit=3, cursor=pagination["nextCursor"])
    assert texts == ["3", "4", "5"]


async def test_before_and_after_a_message(alice: Person, session: dict[str, Any]) -> None:
    messages = await make_messages(alice, session, 6)
    reference = messages[3]["id"]
    assert (await page_of(alice, session, before=reference))[0] == ["0", "1", "2"]
    assert (await page_of(alice, session, before=reference, limit=2))[0] == ["1", "2"]
    assert (await page_of(alice, session, before=reference, limit=2, order="desc"))[0] == ["2", "1"]
    assert (await page_of(alice, session, after=reference))[0] == ["4", "5"]
    assert (await page_of(alice, session, after=reference, limit=1))[0] == ["4"]
    assert (await page_of(alice, session, after=reference, order="desc"))[0] == ["5", "4"]
    assert (await page_of(alice, session, before=messages[0]["id"]))[0] == []
    assert (await page_of(alice, session, after=messages[5]["id"]))[0] == []


async def test_before_and_after_a_deleted_message(alice: Person, session: dict[str, Any]) -> None:
    messages = await make_messages(alice, session, 5)
    await alice.delete(f"/api/messages/{messages[2]['id']}")
    assert (await page_of(alice, session, before=messages[2]["id"]))[0] == ["0", "1"]
    assert (await page_of(alice, session, after=messages[2]["id"]))[0] == ["3", "4"]


async def test_reading_back_page_by_page(alice: Person, session: dict[str, Any]) -> None:
    """How a client scrolls up: before the oldest message it has."""
    await make_messages(alice, session, 7)
    answer = await alice.get(f"/api/sessions/{session['id']}/messages", params={"order": "desc", "limit": 3})
    shown = answer.json()["messages"][::-1]
    while answer.json()["pagination"]["hasMore"]:
        query = {"before": shown[0]["id"], "limit": 3}
        answer = await alice.get(f"/api/sessions/{session['id']}/messages", params=query)
        shown = answer.json()["messages"] + shown
    assert [message["text"] for message in shown] == list("0123456")


async def test_a_bad_value_is_refused_and_named(alice: Person, session: dict[str, Any]) -> None:
    for name, values in {
        "limit": ["0", "101", "ten"],
        "offset": ["-1", ""],
        "cursor": ["nonsense"],
        "order": ["up", "", "ASC"],
        "before": ["nonsense", new_id().lower()],
        "after": ["nonsense", "*"],
    }.items():
        for value in values:
            answer = await alice.get(f"/api/sessions/{session['id']}/messages", params={name: value})
            assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed"), (name, value)
            assert list(answer.json()["details"]) == [name]


async def test_before_and_after_together_are_refused(alice: Person, session: dict[str, Any]) -> None:
    query = {"before": new_id(), "after": new_id()}
    answer = await alice.get(f"/api/sessions/{session['id']}/messages", params=query)
    assert answer.status_code == 400


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await alice.make_message(session["id"])
    await assert_private(alice, mallory, "GET", f"/api/sessions/{session['id']}/messages", session["id"])
