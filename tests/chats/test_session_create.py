"""POST /api/sessions"""

from typing import Any

import pytest

from chats.models import LATEST, TITLE_BY_DEFAULT, TITLE_BY_PERSON, Session
from nanobanana.redisdb.managers import Window
from tests.support.people import Person
from tests.support.strangers import assert_signed_out


async def test_it_answers_with_the_session_and_tells_the_other_device(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    answer = await alice.post("/api/sessions", {"title": "Cats"})
    assert answer.status_code == 201
    assert answer.json().keys() == {"message", "session"}
    created = answer.json()["session"]
    stored = await Session.objects.aget(alice.id, created["id"])
    assert (created["title"], created["messageCount"], created["userId"]) == ("Cats", 0, alice.id)
    assert (stored.title, stored.title_origin, stored.message_count) == ("Cats", TITLE_BY_PERSON, 0)
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("session_created", {"session": created})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


@pytest.mark.parametrize("body", [{}, None, {"title": ""}, {"title": " \n "}, {"title": "New Chat"}])
async def test_without_a_title_of_its_own_it_is_a_new_chat(alice: Person, body: Any) -> None:
    answer = await alice.post("/api/sessions", body)
    assert answer.status_code == 201
    stored = await Session.objects.aget(alice.id, answer.json()["session"]["id"])
    assert (stored.title, stored.title_origin) == ("New Chat", TITLE_BY_DEFAULT)


@pytest.mark.parametrize(
    "title", ["猫" * 100, "👨‍👩‍👧" * 20, "'; DROP TABLE sessions; --", "<b>{{7*7}}</b>", "\u202egpj"]
)
async def test_a_title_is_kept_as_it_is(alice: Person, title: str) -> None:
    created = await alice.make_session(title)
    assert created["title"] == title
    assert (await Session.objects.aget(alice.id, created["id"])).title == title


async def test_the_ends_of_a_title_lose_their_blanks(alice: Person) -> None:
    assert (await alice.make_session("  Cats \n"))["title"] == "Cats"


async def test_a_bad_title_is_refused_and_nothing_is_stored(alice: Person) -> None:
    for title in ("x" * 101, "猫" * 101, 5, True, None, ["Cats"], {"text": "Cats"}, "a\x00b"):
        answer = await alice.post("/api/sessions", {"title": title})
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed"), title
        assert list(answer.json()["details"]) == ["title"]
    assert (await Session.objects.alist(alice.id, LATEST, Window(1))).total == 0


async def test_a_body_that_is_no_json_is_refused(alice: Person) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b'{"title": "\\ud800"}', b"\xff", b"[" * 100_000, b'{"a":' * 2000):
        answer = await alice.laptop.request("POST", "/api/sessions", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "malformed_body"), body[:20]


async def test_a_body_that_is_no_object_is_refused(alice: Person) -> None:
    body: Any
    for body in ([], "Cats", 5, True):
        answer = await alice.post("/api/sessions", body)
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed"), body


async def test_a_form_is_refused(alice: Person) -> None:
    answer = await alice.laptop.request("POST", "/api/sessions", data={"title": "Cats"})
    assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")


async def test_a_body_over_a_megabyte_is_refused(alice: Person) -> None:
    answer = await alice.post("/api/sessions", {"padding": "x" * 1024 * 1024})
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


async def test_nothing_can_be_set_that_may_not_be_set(alice: Person, mallory: Person) -> None:
    forged = {
        "id": "0" * 26,
        "userId": mallory.id,
        "owner_id": mallory.id,
        "messageCount": 7,
        "message_count": 7,
        "createdAt": "2001-01-01T00:00:00.000Z",
        "deletedAt": "2001-01-01T00:00:00.000Z",
        "titleOrigin": "text",
        "title_origin": "text",
    }
    answer = await alice.post("/api/sessions", {"title": "Cats", **forged})
    created = answer.json()["session"]
    assert created["id"] != forged["id"]
    assert (created["userId"], created["messageCount"], created["deletedAt"]) == (alice.id, 0, None)
    assert not created["createdAt"].startswith("2001")
    stored = await Session.objects.aget(alice.id, created["id"])
    assert (stored.title_origin, stored.message_count, stored.deleted_at) == (TITLE_BY_PERSON, 0, None)


async def test_it_wants_a_token(alice: Person) -> None:
    answer = await alice.laptop.request("POST", "/api/sessions", headers={"Authorization": ""})
    assert_signed_out(answer)
    assert (await Session.objects.alist(alice.id, LATEST, Window(1))).total == 0
