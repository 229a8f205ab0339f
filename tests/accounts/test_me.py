"""GET and PUT /api/auth/me"""

from typing import Any

import pytest

from accounts.models import Password, User
from nanobanana.redisdb.event_log import read_behind
from tests.support.people import PASSWORD, Person

USER_FIELDS = {
    "id",
    "email",
    "emailVerified",
    "username",
    "avatar",
    "createdAt",
    "updatedAt",
    "lastLoginAt",
    "isActive",
}


async def stored(person: Person) -> User:
    return await User.objects.aget(person.id, person.id)


async def stored_password(person: Person) -> str:
    return (await Password.objects.aget(person.id, person.id)).encoded


async def events_of(person: Person) -> list[str]:
    """The types of all events of the log, oldest first."""
    head = (await read_behind(person.id, None)).head
    return [entry.type for entry in (await read_behind(person.id, type(head)(head.epoch, 0))).entries]


async def test_it_answers_with_the_user(alice: Person) -> None:
    answer = await alice.get("/api/auth/me")
    assert answer.status_code == 200
    assert answer.json().keys() == {"user"}
    assert answer.json()["user"].keys() == USER_FIELDS
    assert answer.json()["user"]["id"] == alice.id
    assert answer.json()["user"]["email"] == alice.email
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_each_sees_their_own(alice: Person, mallory: Person) -> None:
    assert (await mallory.get(f"/api/auth/me?id={alice.id}&userId={alice.id}")).json()["user"][
        "id"
    ] == mallory.id


async def test_the_profile_changes_for_every_device(alice: Person) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    avatar = "https://example.com/ann.png?size=64"
    answer = await alice.put("/api/auth/me", {"username": " Ann Lee ", "avatar": avatar})
    assert answer.status_code == 200
    user = answer.json()["user"]
    assert (user["username"], user["avatar"]) == ("Ann Lee", avatar)
    assert user["updatedAt"] > alice.user["updatedAt"]
    assert user["createdAt"] == alice.user["createdAt"]
    assert ((await stored(alice)).username, (await stored(alice)).avatar) == ("Ann Lee", avatar)
    [frame] = await alice.phone.heard()
    assert (frame["type"], frame["payload"]) == ("user_updated", {"user": user})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_an_avatar_can_be_taken_away(alice: Person) -> None:
    await alice.put("/api/auth/me", {"avatar": "https://example.com/a.png"})
    answer = await alice.put("/api/auth/me", {"avatar": None})
    assert answer.json()["user"]["avatar"] is None
    assert (await stored(alice)).avatar is None


@pytest.mark.parametrize("body", [{}, {"username": "Alice"}, {"username": " Alice ", "avatar": None}, None])
async def test_what_changes_nothing_is_not_told(alice: Person, body: Any) -> None:
    answer = await alice.put("/api/auth/me", body)
    assert answer.status_code == 200
    assert answer.json()["user"] == (await alice.get("/api/auth/me")).json()["user"]
    assert answer.json()["user"]["updatedAt"] == alice.user["updatedAt"]
    assert await events_of(alice) == []
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_nobody_sets_what_is_the_server_s(alice: Person, mallory: Person) -> None:
    before = (await stored(alice)).__dict__
    body = {
        "id": mallory.id,
        "userId": mallory.id,
        "owner_id": mallory.id,
        "email": "other@example.com",
        "password": "another password",
        "isActive": False,
        "is_active": False,
        "createdAt": "2001-01-01T00:00:00.000Z",
        "updatedAt": "2001-01-01T00:00:00.000Z",
        "lastLoginAt": None,
        "last_login_at": None,
        "cursor": "x:1",
        "__class__": "User",
    }
    answer = await alice.put("/api/auth/me", body)
    assert answer.status_code == 200
    assert (await stored(alice)).__dict__ == before
    assert (
        await alice.phone.post("/api/auth/login", {"email": alice.email, "password": PASSWORD})
    ).is_success


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "ab"}, "username"),
        ({"username": "x" * 31}, "username"),
        ({"username": None}, "username"),
        ({"username": 123}, "username"),
        ({"username": "a\u0000bc"}, "username"),
        ({"avatar": ""}, "avatar"),
        ({"avatar": "javascript:alert(1)"}, "avatar"),
        ({"avatar": "data:image/png;base64,AAAA"}, "avatar"),
        ({"avatar": "/a.png"}, "avatar"),
        ({"avatar": "https://example.com/" + "a" * 2048}, "avatar"),
        ({"avatar": ["https://example.com/a.png"]}, "avatar"),
        ({"avatar": 5}, "avatar"),
        ({"username": "Fine", "avatar": "not an address"}, "avatar"),
        ([], "body"),
    ],
)
async def test_a_malformed_profile_changes_nothing(alice: Person, body: Any, field: str) -> None:
    answer = await alice.put("/api/auth/me", body)
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {field}
    assert ((await stored(alice)).username, (await stored(alice)).avatar) == ("Alice", None)
    assert await events_of(alice) == []


async def test_a_repeated_change_happens_once(alice: Person) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await alice.put("/api/auth/me", {"username": "Ann"}, headers=headers)
    await alice.put("/api/auth/me", {"username": "Bea"})
    again = await alice.put("/api/auth/me", {"username": "Ann"}, headers=headers)
    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["X-Sync-Cursor"] == first.headers["X-Sync-Cursor"]
    assert (await stored(alice)).username == "Bea"
    assert await events_of(alice) == ["user_updated", "user_updated"]


async def test_a_key_used_for_another_request_is_refused(alice: Person) -> None:
    headers = {"Idempotency-Key": "one"}
    await alice.put("/api/auth/me", {"username": "Ann"}, headers=headers)
    answer = await alice.put("/api/auth/me", {"username": "Bea"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"] == "idempotency_mismatch"
    assert (await stored(alice)).username == "Ann"


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "schl\u00fcssel".encode()])
async def test_an_idempotency_key_that_is_none_is_refused(alice: Person, key: str | bytes) -> None:
    answer = await alice.put("/api/auth/me", {"username": "Ann"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"Idempotency-Key"}
    assert (await stored(alice)).username == "Alice"


async def test_the_key_of_another_person_is_another_key(alice: Person, mallory: Person) -> None:
    headers = {"Idempotency-Key": "one"}
    await alice.put("/api/auth/me", {"username": "Ann"}, headers=headers)
    answer = await mallory.put("/api/auth/me", {"username": "Ann"}, headers=headers)
    assert answer.json()["user"]["id"] == mallory.id
