"""GET /api/sessions/:id/stats"""

from typing import Any

from tests.support.people import Person
from tests.support.strangers import assert_private


async def stats_of(person: Person, session_id: str) -> dict[str, Any]:
    answer = await person.phone.get(f"/api/sessions/{session_id}/stats")
    assert (answer.status_code, list(answer.json())) == (200, ["stats"])
    return answer.json()["stats"]


async def test_a_new_session_has_nothing(alice: Person, session: dict[str, Any]) -> None:
    assert await stats_of(alice, session["id"]) == {
        "messageCount": 0,
        "totalMessages": 0,
        "imageCount": 0,
        "createdAt": session["createdAt"],
        "updatedAt": session["updatedAt"],
    }


async def test_it_counts_messages_and_images_of_this_session_only(
    alice: Person, session: dict[str, Any]
) -> None:
    other = await alice.make_session()
    await alice.make_message(other["id"], imageIds=[(await alice.make_image(other["id"]))["id"]])
    image = await alice.make_image(session["id"])
    messages = [await alice.make_message(session["id"], imageIds=[image["id"]]) for _ in range(3)]
    await alice.delete(f"/api/messages/{messages[0]['id']}")
    stats = await stats_of(alice, session["id"])
    assert (stats["messageCount"], stats["totalMessages"], stats["imageCount"]) == (2, 2, 1)
    assert stats["updatedAt"] > session["updatedAt"]
    for message in messages[1:]:
        await alice.delete(f"/api/messages/{message['id']}")
    await alice.delete(f"/api/images/{image['id']}")
    stats = await stats_of(alice, session["id"])
    assert (stats["messageCount"], stats["imageCount"]) == (0, 0)


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await assert_private(alice, mallory, "GET", f"/api/sessions/{session['id']}/stats", session["id"])
