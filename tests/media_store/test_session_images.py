"""GET /api/images/session/:id"""

from typing import Any

from tests.support.people import Person
from tests.support.strangers import assert_private


async def page_of(
    person: Person, session: dict[str, Any], **query: str | int
) -> tuple[list[str], dict[str, Any]]:
    answer = await person.phone.get(f"/api/images/session/{session['id']}", params=query)
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["images"]], answer.json()["pagination"]


async def make_images(person: Person, session: dict[str, Any], *types: str) -> list[str]:
    """The ids, newest first."""
    return [(await person.make_image(session["id"], type=type))["id"] for type in types][::-1]


async def test_images_of_the_session_come_newest_first(alice: Person, session: dict[str, Any]) -> None:
    ids = await make_images(alice, session, "uploaded", "generated", "uploaded")
    await make_images(alice, await alice.make_session(), "uploaded")
    assert await page_of(alice, session) == (
        ids,
        {"limit": 100, "offset": 0, "total": 3, "hasMore": False, "nextCursor": None},
    )


async def test_they_come_as_they_are_read_one_by_one(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    read = await alice.get(f"/api/images/{image['id']}")
    listed = await alice.phone.get(f"/api/images/session/{session['id']}")
    assert listed.json()["images"] == [read.json()["image"]]


async def test_one_type_can_be_asked_for(alice: Person, session: dict[str, Any]) -> None:
    newest, generated, oldest = await make_images(alice, session, "uploaded", "generated", "uploaded")
    assert (await page_of(alice, session, type="uploaded"))[0] == [newest, oldest]
    assert await page_of(alice, session, type="generated") == (
        [generated],
        {"limit": 100, "offset": 0, "total": 1, "hasMore": False, "nextCursor": None},
    )
    assert (await page_of(alice, session, type="mask"))[0] == []
    assert (await page_of(alice, session, type=""))[0] == [newest, generated, oldest]


async def test_a_cursor_walks_all_pages(alice: Person, session: dict[str, Any]) -> None:
    ids = await make_images(alice, session, *["uploaded"] * 5)
    walked, pagination = await page_of(alice, session, limit=2, type="uploaded")
    while pagination["hasMore"]:
        assert pagination["total"] == 5
        page, pagination = await page_of(
            alice, session, limit=2, type="uploaded", cursor=pagination["nextCursor"]
        )
        walked += page
    assert walked == ids
    assert (await page_of(alice, session, limit=2, offset=3))[0] == ids[3:]


async def test_a_bad_value_is_refused_and_named(alice: Person, session: dict[str, Any]) -> None:
    for name, values in {
        "limit": ["0", "101", "ten"],
        "offset": ["-1"],
        "cursor": ["nonsense"],
        "type": ["Uploaded", "a:b", "*", "x" * 33, "a\x00"],
    }.items():
        for value in values:
            answer = await alice.get(f"/api/images/session/{session['id']}", params={name: value})
            assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed"), value
            assert list(answer.json()["details"]) == [name]


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await alice.make_image(session["id"])
    await assert_private(alice, mallory, "GET", f"/api/images/session/{session['id']}", session["id"])
    path = f"/api/images/session/{session['id']}?type=uploaded"
    await assert_private(alice, mallory, "GET", path, session["id"])
