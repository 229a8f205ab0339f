"""GET /api/messages/:id"""

from typing import Any

from tests.support.people import Person
from tests.support.strangers import assert_private


async def test_it_answers_with_the_message_and_its_images(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    created = await alice.make_message(session["id"], "Look", params={"seed": 7}, imageIds=[image["id"]])
    answer = await alice.phone.get(f"/api/messages/{created['id']}")
    assert (answer.status_code, answer.json()) == (200, {"message": created})
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_its_images_are_as_they_are_now(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    first = await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    read = (await alice.get(f"/api/messages/{first['id']}")).json()["message"]
    assert [shown["refCount"] for shown in read["images"]] == [2]


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await assert_private(alice, mallory, "GET", f"/api/messages/{message['id']}", message["id"])
