"""POST /api/images/cleanup"""

import asyncio
from typing import Any

import pytest

from tests.media_store.uploads import keys_of, stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_signed_out

CLEANUP = "/api/images/cleanup"
NOTHING = {"successful": [], "failed": [], "total": 0}


@pytest.fixture
def no_grace(settings: Any) -> None:
    settings.CLEANUP_GRACE = 0


async def clean_up(person: Person) -> dict[str, Any]:
    answer = await person.post(CLEANUP)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "results"}
    return answer.json()["results"]


async def ids_of(person: Person) -> list[str]:
    return [image["id"] for image in (await person.get("/api/images/user/all")).json()["images"]]


@pytest.mark.usefixtures("no_grace")
async def test_it_deletes_what_no_message_shows_and_tells_the_devices_in_the_session(
    alice: Person, session: dict[str, Any]
) -> None:
    shown, unused = [await alice.make_image(session["id"]) for _ in range(2)]
    await alice.make_message(session["id"], imageIds=[shown["id"]])
    await alice.phone.listen(session["id"])
    assert await clean_up(alice) == {"successful": [unused["id"]], "failed": [], "total": 1}
    assert await ids_of(alice) == [shown["id"]]
    assert await stored_keys(alice.id) == await keys_of(shown)
    assert await inconsistencies([alice.id]) == []
    frame = await alice.phone.next_frame()
    assert frame["type"] == "image_deleted"
    assert frame["payload"] == {"sessionId": session["id"], "imageId": unused["id"]}
    assert await clean_up(alice) == NOTHING


async def test_a_picture_has_a_day_to_be_used(alice: Person, session: dict[str, Any], settings: Any) -> None:
    image = await alice.make_image(session["id"])
    assert settings.CLEANUP_GRACE == 24 * 3600
    assert await clean_up(alice) == NOTHING
    assert await ids_of(alice) == [image["id"]]


async def test_the_time_counts_from_when_the_last_message_let_go_of_it(
    alice: Person, session: dict[str, Any], settings: Any
) -> None:
    settings.CLEANUP_GRACE = 1
    unused, released = [await alice.make_image(session["id"]) for _ in range(2)]
    message = await alice.make_message(session["id"], imageIds=[released["id"]])
    await asyncio.sleep(1.1)
    await alice.delete(f"/api/messages/{message['id']}")
    assert (await clean_up(alice))["successful"] == [unused["id"]]
    assert await ids_of(alice) == [released["id"]]


@pytest.mark.usefixtures("no_grace")
async def test_pictures_of_a_deleted_session_stay_while_its_messages_show_them(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.delete(f"/api/sessions/{session['id']}")
    assert await clean_up(alice) == NOTHING
    assert await ids_of(alice) == [image["id"]]


@pytest.mark.usefixtures("no_grace")
async def test_others_keep_theirs(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    assert await clean_up(mallory) == NOTHING
    assert await ids_of(alice) == [image["id"]]


@pytest.mark.usefixtures("no_grace")
async def test_it_wants_a_token(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    assert_signed_out(await alice.laptop.request("POST", CLEANUP, headers={"Authorization": ""}))
    assert await ids_of(alice) == [image["id"]]
