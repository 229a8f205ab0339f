"""Idempotency-Key on what chats accept: the same answer, one effect."""

import asyncio
from typing import Any

import httpx

from chats.models import LATEST, Message, Session
from nanobanana.redisdb.managers import Window
from tests.support.consistency import inconsistencies
from tests.support.people import Person

KEY = {"Idempotency-Key": "7f3c-1"}


def content(answer: httpx.Response) -> tuple[int, Any, str]:
    """All that a repetition must answer again; the request id differs."""
    return answer.status_code, answer.json(), answer.headers["X-Sync-Cursor"]


async def test_a_repeated_session_is_made_once(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen(session["id"])
    first = await alice.post("/api/sessions", {"title": "Cats"}, headers=KEY)
    await alice.put(f"/api/sessions/{first.json()['session']['id']}", {"title": "Dogs"})
    again = await alice.phone.post("/api/sessions", {"title": "Cats"}, headers=KEY)
    assert content(again) == content(first)
    assert (await Session.objects.alist(alice.id, LATEST, Window(1))).total == 2
    assert await alice.phone.heard_types(at_least=2) == ["session_created", "session_updated"]


async def test_a_repeated_message_is_made_once(alice: Person, session: dict[str, Any]) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(2)]
    path, body = (
        f"/api/sessions/{session['id']}/messages",
        {"role": "user", "text": "Hi", "imageIds": image_ids},
    )
    first = await alice.post(path, body, headers=KEY)
    message = first.json()["messageData"]
    await alice.put(f"/api/messages/{message['id']}", {"text": "changed", "imageIds": image_ids[1:]})
    assert content(await alice.post(path, body, headers=KEY)) == content(first)
    await alice.delete(f"/api/messages/{message['id']}")
    assert content(await alice.post(path, body, headers=KEY)) == content(first)
    await alice.delete(f"/api/sessions/{session['id']}")
    assert content(await alice.post(path, body, headers=KEY)) == content(first)
    assert await inconsistencies([alice.id]) == []


async def test_twenty_repetitions_at_once_make_one_message(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    await alice.phone.listen(session["id"])
    path, body = f"/api/sessions/{session['id']}/messages", {"role": "user", "imageIds": [image["id"]]}
    answers = await asyncio.gather(*(alice.post(path, body, headers=KEY) for _ in range(20)))
    made = await alice.post(path, body, headers=KEY)
    assert made.status_code == 201
    for answer in answers:
        assert answer.status_code == 409 or content(answer) == content(made)
    assert (await Session.objects.aget(alice.id, session["id"])).message_count == 1
    assert await Message.objects.acount(alice.id, f"session:{session['id']}:messages") == 1
    assert await inconsistencies([alice.id]) == []
    assert await alice.phone.heard_types(at_least=2) == ["message_created", "session_updated"]


async def test_a_repeated_attachment_is_answered_as_the_first_one(
    alice: Person, session: dict[str, Any]
) -> None:
    first_image, second_image = [await alice.make_image(session["id"]) for _ in range(2)]
    message = await alice.make_message(session["id"])
    path, body = f"/api/messages/{message['id']}/images", {"imageId": first_image["id"]}
    first = await alice.post(path, body, headers=KEY)
    await alice.phone.post(path, {"imageId": second_image["id"]})
    assert content(await alice.post(path, body, headers=KEY)) == content(first)
    await alice.phone.delete(f"{path}/{first_image['id']}")
    again = await alice.post(path, body, headers=KEY)
    assert again.json()["messageData"]["imageIds"] == [first_image["id"]]
    assert (await Message.objects.aget(alice.id, message["id"])).image_ids == [second_image["id"]]
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_change_is_made_once(alice: Person, session: dict[str, Any]) -> None:
    images = [await alice.make_image(session["id"]) for _ in range(3)]
    message = await alice.make_message(session["id"], imageIds=[images[0]["id"]])
    path, body = f"/api/messages/{message['id']}", {"text": "first"}
    await alice.put(path, body, headers=KEY)
    await alice.phone.put(path, {"text": "second", "imageIds": [image["id"] for image in images[1:]]})
    again = await alice.put(path, body, headers=KEY)
    assert again.status_code == 200
    assert again.json()["messageData"]["text"] == "first"
    assert again.json()["messageData"]["imageIds"] == [images[0]["id"]]
    assert [image["id"] for image in again.json()["messageData"]["images"]] == [images[0]["id"]]
    assert (await Message.objects.aget(alice.id, message["id"])).text == "second"


async def test_another_request_under_the_same_key_is_refused(alice: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}/messages"
    await alice.post(path, {"role": "user", "text": "Hi"}, headers=KEY)
    for other_path, other_body in (
        (path, {"role": "user", "text": "Hi!"}),
        (path, {"text": "Hi", "role": "user", "params": {}}),
        ("/api/sessions", {"role": "user", "text": "Hi"}),
    ):
        answer = await alice.post(other_path, other_body, headers=KEY)
        assert (answer.status_code, answer.json()["error"]) == (422, "idempotency_mismatch")
    assert (await Session.objects.aget(alice.id, session["id"])).message_count == 1


async def test_a_refused_request_leaves_the_key_free(alice: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}/messages"
    refused = await alice.post(path, {"role": "user", "text": "Hi", "imageIds": ["0" * 26]}, headers=KEY)
    assert refused.status_code == 404
    assert (await alice.post(path, {"role": "user", "text": "Hi"}, headers=KEY)).status_code == 201


async def test_a_key_is_the_persons_own(alice: Person, mallory: Person) -> None:
    first = await alice.post("/api/sessions", {"title": "Cats"}, headers=KEY)
    other = await mallory.post("/api/sessions", {"title": "Cats"}, headers=KEY)
    assert other.json()["session"]["userId"] == mallory.id
    assert other.json()["session"]["id"] != first.json()["session"]["id"]


async def test_a_bad_key_is_refused(alice: Person) -> None:
    for key in ("", "two words", "x" * 256, "ключ".encode(), b"a\tb"):
        answer = await alice.post("/api/sessions", {"title": "Cats"}, headers={"Idempotency-Key": key})
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["Idempotency-Key"]), key
    assert (await Session.objects.alist(alice.id, LATEST, Window(1))).total == 0


async def test_the_longest_key_is_taken(alice: Person) -> None:
    answer = await alice.post("/api/sessions", headers={"Idempotency-Key": "!" + "~" * 254})
    assert answer.status_code == 201
