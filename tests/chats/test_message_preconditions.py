"""`ETag`, `If-Match` and `If-None-Match` of messages: nobody overwrites what they have not seen."""

import asyncio
from typing import Any

import httpx
import pytest

from accounts.models import User
from chats.models import Message
from chats.services import messages
from chats.services.messages import attach_image, delete_message, update_message
from nanobanana.errors import PreconditionFailed
from nanobanana.redisdb.ids import new_id
from tests.support.consistency import inconsistencies
from tests.support.people import Person

STALE = ('"7"', 'W/"1"', '"01"', '"other"', '"0" , "7"', '""', f'"{2**70}"')
FRESH = ('"{}"', "*", '"0", "{}"', '"x","{}" ,W/"3"')
MALFORMED = ('"1', "", "nonsense", '*, "1"', '"1" "2"', 'w/"1"', '"é"', '"1",')

OPTIONS = {update_message: {"changes": {"text": "slower"}}, attach_image: {"image_id": new_id()}}


@pytest.fixture
async def message(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    """At revision 1, with an image."""
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], "before", imageIds=[image["id"]])
    answer = await alice.put(f"/api/messages/{message['id']}", {"text": "now"})
    return answer.json()["messageData"]


async def change_in_every_way(person: Person, message: dict[str, Any], if_match: str) -> list[httpx.Response]:
    path, headers = f"/api/messages/{message['id']}", {"If-Match": if_match}
    image_id = message["imageIds"][0]
    return [
        await person.put(path, {"text": "changed"}, headers=headers),
        await person.put(path, {}, headers=headers),
        await person.post(f"{path}/images", {"imageId": image_id}, headers=headers),
        await person.delete(f"{path}/images/{image_id}", headers=headers),
        await person.post(f"{path}/restore", {"revision": 0}, headers=headers),
        await person.delete(path, headers=headers),
    ]


async def test_every_answer_with_a_message_names_its_revision(alice: Person, session: dict[str, Any]) -> None:
    image_id = (await alice.make_image(session["id"]))["id"]
    created = await alice.post(f"/api/sessions/{session['id']}/messages", {"role": "user", "text": "Hi"})
    path = f"/api/messages/{created.json()['messageData']['id']}"
    answers = [
        created,
        await alice.put(path, {"text": "Ho"}),
        await alice.post(f"{path}/images", {"imageId": image_id}),
        await alice.delete(f"{path}/images/{image_id}"),
        await alice.post(f"{path}/restore", {"revision": 0}),
    ]
    assert [answer.headers["ETag"] for answer in answers] == ['"0"', '"1"', '"2"', '"3"', '"4"']
    assert (await alice.get(path)).headers["ETag"] == '"4"'
    assert (await alice.laptop.request("HEAD", path)).headers["ETag"] == '"4"'


async def test_at_another_revision_nothing_is_changed(
    alice: Person, message: dict[str, Any], session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    path = f"/api/messages/{message['id']}"
    for answer in [
        *await change_in_every_way(alice, message, '"0"'),
        *[await alice.put(path, {"text": "changed"}, headers={"If-Match": stale}) for stale in STALE],
    ]:
        assert (answer.status_code, answer.json()["error"]) == (412, "precondition_failed")
        assert "X-Sync-Cursor" not in answer.headers
    assert (await alice.get(f"/api/messages/{message['id']}")).json()["message"] == message
    assert await alice.phone.heard() == []


async def test_at_this_revision_it_is_changed(alice: Person, message: dict[str, Any]) -> None:
    path = f"/api/messages/{message['id']}"
    for revision, if_match in enumerate(FRESH, start=1):
        headers = {"If-Match": if_match.format(revision)}
        answer = await alice.put(path, {"text": f"{revision}"}, headers=headers)
        assert (answer.status_code, answer.headers["ETag"]) == (200, f'"{revision + 1}"'), if_match
    assert (await alice.delete(path, headers={"If-Match": '"5"'})).status_code == 200


async def test_what_is_no_list_of_etags_is_refused(alice: Person, message: dict[str, Any]) -> None:
    path = f"/api/messages/{message['id']}"
    for answer in [
        *await change_in_every_way(alice, message, "1"),
        *[
            await alice.put(path, {"text": "changed"}, headers={"If-Match": malformed.encode()})
            for malformed in MALFORMED
        ],
    ]:
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["If-Match"])
    assert (await alice.get(f"/api/messages/{message['id']}")).json()["message"] == message


async def test_an_absent_message_is_not_found_whatever_the_revision(
    alice: Person, message: dict[str, Any]
) -> None:
    await alice.delete(f"/api/messages/{message['id']}")
    for answer in await change_in_every_way(alice, message, '"1"'):
        assert answer.status_code == 404


@pytest.mark.parametrize("change", [update_message, attach_image, delete_message])
async def test_a_message_that_moves_between_reading_and_writing_is_left_alone(
    change: Any, user: User, message: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, options = messages.get_message, OPTIONS.get(change, {})

    async def read_then_change(**options: Any) -> Any:
        found = await read(**options)
        monkeypatch.undo()
        await update_message(user=user, message_id=message["id"], changes={"text": "quicker"})
        return found

    monkeypatch.setattr(messages, "get_message", read_then_change)
    with pytest.raises(PreconditionFailed):
        await change(user=user, message_id=message["id"], if_match={1}, **options)
    assert (await Message.objects.aget(user.id, message["id"])).text == "quicker"


async def test_of_ten_who_saw_the_same_revision_one_changes_it(
    alice: Person, message: dict[str, Any]
) -> None:
    path, headers = f"/api/messages/{message['id']}", {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(alice.put(path, {"text": f"{number}"}, headers=headers) for number in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 9]
    [winner] = [answer for answer in answers if answer.status_code == 200]
    assert (await alice.get(path)).json()["message"]["text"] == winner.json()["messageData"]["text"]
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_request_is_answered_as_the_first_time(
    alice: Person, message: dict[str, Any]
) -> None:
    path, headers = f"/api/messages/{message['id']}", {"If-Match": '"1"', "Idempotency-Key": "one"}
    first = await alice.put(path, {"text": "changed"}, headers=headers)
    again = await alice.put(path, {"text": "changed"}, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["messageData"] == first.json()["messageData"]
    assert again.headers["ETag"] == first.headers["ETag"] == '"2"'


async def test_who_has_this_revision_already_is_told_so(alice: Person, message: dict[str, Any]) -> None:
    path = f"/api/messages/{message['id']}"
    for known in ('"1"', 'W/"1"', '"0", "1"', "*"):
        answer = await alice.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"'), known
    for known in ('"0"', "1", "", "nonsense"):
        answer = await alice.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.json()["message"]) == (200, message), known
    changed = await alice.put(path, {"text": "other"}, headers={"If-None-Match": '"1"'})
    assert changed.status_code == 200


async def test_a_stranger_learns_no_revision(alice: Person, mallory: Person, message: dict[str, Any]) -> None:
    for if_match in ('"1"', '"0"'):
        for answer in await change_in_every_way(mallory, message, if_match):
            assert answer.status_code == 404
    seen = await mallory.get(f"/api/messages/{message['id']}", headers={"If-None-Match": '"1"'})
    assert seen.status_code == 404
    assert (await alice.get(f"/api/messages/{message['id']}")).json()["message"] == message
