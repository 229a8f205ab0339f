"""GET /api/images/user/all"""

from typing import Any

from tests.support.people import Person
from tests.support.strangers import assert_signed_out

ALL = "/api/images/user/all"


async def page_of(person: Person, **query: str | int) -> tuple[list[str], dict[str, Any]]:
    answer = await person.phone.get(ALL, params=query)
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["images"]], answer.json()["pagination"]


async def test_images_of_all_sessions_come_newest_first(alice: Person, mallory: Person) -> None:
    first, second = [await alice.make_session() for _ in range(2)]
    ids = [(await alice.make_image(session["id"]))["id"] for session in (first, second, first)][::-1]
    await mallory.make_image((await mallory.make_session())["id"])
    await alice.delete(f"/api/sessions/{second['id']}")
    assert await page_of(alice) == (
        ids,
        {"limit": 100, "offset": 0, "total": 3, "hasMore": False, "nextCursor": None},
    )


async def test_they_come_as_they_are_read_one_by_one(alice: Person) -> None:
    image = await alice.make_image((await alice.make_session())["id"])
    assert (await alice.get(ALL)).json()["images"] == [image]


async def test_who_has_none_gets_an_empty_list(alice: Person) -> None:
    assert await page_of(alice) == (
        [],
        {"limit": 100, "offset": 0, "total": 0, "hasMore": False, "nextCursor": None},
    )


async def test_a_cursor_walks_all_pages_while_images_come_and_go(alice: Person) -> None:
    session = await alice.make_session()
    ids = [(await alice.make_image(session["id"]))["id"] for _ in range(5)][::-1]
    walked, pagination = await page_of(alice, limit=2)
    await alice.make_image(session["id"])
    await alice.delete(f"/api/images/{walked[1]}")
    while pagination["hasMore"]:
        page, pagination = await page_of(alice, limit=2, cursor=pagination["nextCursor"])
        walked += page
    assert walked == ids


async def test_a_bad_value_is_refused_and_named(alice: Person) -> None:
    for name, value in (("limit", "0"), ("offset", "x"), ("cursor", "x")):
        answer = await alice.get(ALL, params={name: value})
        assert (answer.status_code, list(answer.json()["details"])) == (400, [name])


async def test_it_wants_a_token(alice: Person) -> None:
    assert_signed_out(await alice.laptop.request("GET", ALL, headers={"Authorization": ""}))
