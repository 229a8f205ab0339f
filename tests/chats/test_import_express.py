"""`manage.py import_express`: what the seed's own server left in its Redis"""

import itertools
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from django.core.management import CommandError
from redis.asyncio import Redis
from rest_framework.serializers import ValidationError

from accounts.models import User
from accounts.services.access import find_user
from chats.express import importing
from chats.express.media import MediaDirectory
from chats.express.records import message_of
from chats.serializers import ParamsField
from chats.services import archives
from tests.support.commands import run, run_for_json
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture
from tests.support.web_server import WebServer

SOURCE = f"{os.environ['REDIS_URL']}?db=1"
PASSWORD = "password123"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2a")).decode()
_numbers = itertools.count(1)
MADE = "2025-01-27T10:00:00.000Z"


def at(minute: int) -> str:
    return f"2025-01-27T10:{minute:02}:00.123Z"


class Express:
    """The database of that server, and the files it wrote."""

    def __init__(self, redis: Any, media: Path) -> None:
        self.redis, self.media = redis, media

    async def add_user(self, user_id: str, **fields: str) -> dict[str, str]:
        email = fields.get("email", f"{user_id}@example.org")
        user = {"id": user_id, "email": email, "username": "Express", "password": HASH, "isActive": "true"}
        user |= {"createdAt": MADE, "updatedAt": at(1), "lastLoginAt": at(2), **fields}
        await self.redis.hset(f"user:{user_id}", mapping=user)
        await self.redis.set(f"email:{email}", user_id)
        return user

    async def add_session(self, session_id: str, user_id: str, **fields: str) -> None:
        session = {
            "id": session_id,
            "userId": user_id,
            "title": f"Title of {session_id}",
            "messageCount": "9",
        }
        session |= {"createdAt": at(3), "updatedAt": at(9), "deletedAt": "", **fields}
        await self.redis.hset(f"session:{session_id}", mapping=session)
        await self.redis.zadd(f"user_sessions:{user_id}", {session_id: 1})
        await self.redis.rpush(f"session:{session_id}:messages", "placeholder")

    async def add_message(self, message_id: str, session_id: str, minute: int = 4, **fields: str) -> None:
        message = {"id": message_id, "sessionId": session_id, "role": "user", "text": f"Text of {message_id}"}
        message |= {
            "params": "{}",
            "imageIds": "[]",
            "createdAt": at(minute),
            "updatedAt": at(minute),
            **fields,
        }
        await self.redis.hset(f"message:{message_id}", mapping=message)
        await self.redis.rpush(f"session:{session_id}:messages", message_id)

    async def add_image(self, image_id: str, session_id: str, user_id: str, content: bytes | None) -> None:
        path = f"https://bucket.s3.amazonaws.com/images/{user_id}/{image_id}.jpg"
        image = {"id": image_id, "sessionId": session_id, "userId": user_id, "type": "generated"}
        image |= {"path": path, "createdAt": at(4), "refCount": "7"}
        await self.redis.hset(f"image:{image_id}:meta", mapping=image)
        if content is not None:
            file = self.media / "images" / user_id / f"{image_id}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


@pytest.fixture
async def express(server: WebServer, tmp_path: Path) -> AsyncIterator[Express]:
    redis: Any = Redis.from_url(SOURCE, decode_responses=True)
    await redis.flushdb()
    yield Express(redis, tmp_path)
    await redis.flushdb()
    await redis.aclose()


@pytest.fixture
def user_id() -> str:
    return f"express{next(_numbers)}"


@pytest.fixture
async def filled(express: Express, user_id: str) -> Express:
    """A user with two sessions, one of them deleted, and a picture that both show."""
    await express.add_user(user_id)
    await express.add_session("s1", user_id, title="Cats  ")
    await express.add_session("s2", user_id, deletedAt=at(8))
    await express.add_image("i1", "s1", user_id, picture(colour="teal"))
    await express.add_message("m1", "s1", 4, params='{"size": "big"}', imageIds='["i1"]')
    await express.add_message("m2", "s1", 5, role="assistant", editedOf="m1", updatedAt=at(7))
    await express.add_message("m3", "s2", 6, imageIds='["i1"]')
    return express


async def bring(express: Express, *options: Any) -> dict[str, Any]:
    return await run_for_json("import_express", "--from", SOURCE, "--media", express.media, *options)


async def signed_in(alice: Person, email: str) -> dict[str, Any]:
    """Headers of the user who was brought in."""
    answer = await alice.laptop.http.post("/api/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def test_everything_comes_with_its_times(alice: Person, filled: Express, user_id: str) -> None:
    report = await bring(filled)
    assert report.pop("bad") == []
    counts = {"users": 1, "sessions": 2, "messages": 3, "images": 1, "images_without_file": 0}
    assert report == {**counts, "users_here": 0, "sessions_here": 0, "dryRun": False}
    user = await account(user_id)
    assert (user.username, user.is_active) == ("Express", True)
    assert [f"{each:%H:%M}" for each in (user.created_at, user.updated_at, user.last_login_at) if each] == [
        "10:00",
        "10:01",
        "10:02",
    ]
    headers, http = await signed_in(alice, f"{user_id}@example.org"), alice.laptop.http
    [session] = (await http.get("/api/sessions", headers=headers)).json()["sessions"]
    assert (session["title"], session["createdAt"], session["updatedAt"]) == ("Cats", at(3), at(9))
    path = f"/api/sessions/{session['id']}/messages"
    first, second = (await http.get(path, headers=headers)).json()["messages"]
    assert (first["text"], first["params"], first["createdAt"]) == ("Text of m1", {"size": "big"}, at(4))
    assert (second["role"], second["editedOf"], second["updatedAt"]) == ("assistant", first["id"], at(7))
    [image] = first["images"]
    assert (image["type"], image["createdAt"], image["refCount"]) == ("generated", at(4), 2)
    assert (await http.get(image["path"].removeprefix("http://testserver"))).status_code == 200
    [trashed] = (await http.get("/api/sessions/trash", headers=headers)).json()["sessions"]
    assert (trashed["title"], trashed["messageCount"]) == ("Title of s2", 1)
    found = (await http.get("/api/search?q=text", headers=headers)).json()
    assert found["pagination"]["total"] >= 2
    assert await inconsistencies([user.id]) == []


async def account(user_id: str) -> User:
    user = await find_user(f"{user_id}@example.org")
    assert user
    return user


async def test_twice_is_as_good_as_once(alice: Person, filled: Express, user_id: str) -> None:
    await bring(filled)
    user = await account(user_id)
    headers = await signed_in(alice, user.email)
    await filled.add_session("s3", user_id, title="New there")
    again = await bring(filled)
    assert (again["users"], again["users_here"], again["sessions"], again["sessions_here"]) == (0, 1, 1, 2)
    assert (again["messages"], again["images"]) == (0, 0)
    sessions = (await alice.laptop.http.get("/api/sessions", headers=headers)).json()["sessions"]
    assert [session["title"] for session in sessions] == ["Cats", "New there"]
    assert await inconsistencies([user.id]) == []


async def test_an_interrupted_import_goes_on(
    filled: Express, user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archives._Import, "publish", pulled)
        patch.setattr(archives._Import, "give_up", nothing)  # as when the process is killed
        with pytest.raises(CommandError, match="Redis does not answer"):
            await bring(filled)
    user = await account(user_id)
    report = await bring(filled)
    assert (report["users_here"], report["sessions"], report["sessions_here"]) == (1, 2, 0)
    assert await inconsistencies([user.id]) == []


async def pulled(*_: Any) -> None:
    raise ConnectionError("The plug was pulled")


async def nothing(*_: Any) -> None:
    pass


async def test_a_rehearsal_writes_nothing(filled: Express, user_id: str) -> None:
    counts = await bring(filled, "--dry-run")
    assert (counts["users"], counts["sessions"], counts["messages"], counts["images"]) == (1, 2, 3, 1)
    assert await find_user(f"{user_id}@example.org") is None
    said = await run("import_express", "--from", SOURCE, "--dry-run")
    assert "Would bring in 1 account, 2 sessions, 3 messages, 0 pictures" in said
    assert "there is no file of 'https://bucket.s3.amazonaws.com/" in said
    assert "1 picture had no file." in said


async def test_who_has_the_address_here_keeps_everything(
    alice: Person, express: Express, user_id: str
) -> None:
    await express.add_user(user_id, email=alice.email)
    await express.add_session("s1", user_id)
    report = await bring(express)
    assert (report["users"], report["sessions"]) == (0, 0)
    assert report["bad"] == [f"user:{user_id}: {alice.email} is the address of {alice.id} here."]
    assert (await alice.get("/api/sessions")).json()["sessions"] == []


async def test_who_was_shut_out_there_stays_so(alice: Person, express: Express, user_id: str) -> None:
    await express.add_user(user_id, isActive="false")
    assert (await bring(express))["bad"] == []
    body = {"email": f"{user_id}@example.org", "password": PASSWORD}
    assert (await alice.laptop.http.post("/api/auth/login", json=body)).status_code == 401
    assert (await account(user_id)).is_active is False


async def add_broken_records(filled: Express, user_id: str) -> None:
    redis = filled.redis
    await redis.hset("user:broken", mapping={"email": "no address"})
    await redis.set("user:text", "a word")
    await filled.add_user(f"{user_id}2", password="plain text", username="\u202ex", avatar="nonsense")
    await filled.add_user(f"{user_id}3", email=f"{user_id}@example.org")
    await redis.set(f"email:{user_id}@example.org", user_id)
    await redis.zadd(f"user_sessions:{user_id}", {"gone": 1, "foreign": 2})
    await filled.add_session("foreign", f"{user_id}2")
    await filled.add_session("undated", user_id, createdAt="yesterday")
    await redis.rpush("session:s1:messages", "gone", "m1", "m1")
    await filled.add_message("role", "s1", role="wizard")
    await filled.add_message("future", "s1", createdAt="2999-01-01T00:00:00Z")
    await filled.add_message("long", "s1", text="x" * 40_000)
    await filled.add_message("odd", "s1", 7, params="{", imageIds='["i1", "i2", "nowhere"]', editedOf="later")
    await redis.rpush("session:s1:messages", "m3")
    await filled.add_image("i2", "s1", user_id, b"no picture")
    await filled.add_image("i3", "s1", user_id, None)
    await filled.add_image("i4", "s1", "nobody", None)
    await redis.set("image:i5:meta", "a word")
    await filled.add_image("i6", "nosuch", user_id, None)
    await filled.add_image("i7", "undated", user_id, None)
    await filled.add_session("unlisted", user_id, deletedAt=at(8))
    await redis.delete("session:unlisted:messages")
    await redis.set("session:unlisted:messages", "a word")
    await filled.add_user(f"{user_id}4")
    await redis.set(f"user_sessions:{user_id}4", "a word")


async def test_broken_records_are_told_and_passed_over(alice: Person, filled: Express, user_id: str) -> None:
    await add_broken_records(filled, user_id)
    report = await bring(filled)
    told = "\n".join(report["bad"])
    for sentence in (
        "user:broken: email: ",
        "user:text: email: ",
        f"user:{user_id}2 has no bcrypt hash",
        f"user:{user_id}2 has a username that is none here",
        f"user:{user_id}2: avatar: ",
        f"user:{user_id}3: email:{user_id}@example.org leads to {user_id}.",
        "session:gone does not exist.",
        f"session:foreign is not of user:{user_id}",
        "session:undated: createdAt: ",
        "message:gone does not exist.",
        "message:role: role: ",
        "message:future: createdAt: ",
        "message:long: text: ",
        "message:odd has params that are no JSON",
        "message:odd is said to be a version of later",
        "message:m3 is not of session:s1",
        "image:i2:meta: ",
        "image:i3:meta: there is no file of ",
        "image:i4:meta is of user:nobody, who does not exist.",
        "image:i5:meta is of user:, who does not exist.",
        "image:i6:meta is of session:nosuch, which does not come.",
        "image:i7:meta is of session:undated, which does not come.",
        "session:unlisted:messages is no list: the session comes without messages.",
        f"user_sessions:{user_id}4 is no sorted set: no sessions come.",
    ):
        assert sentence in told, sentence
    assert (report["users"], report["sessions"], report["messages"], report["images"]) == (3, 4, 4, 1)
    user = await account(user_id)
    headers = await signed_in(alice, user.email)
    [session] = (await alice.laptop.http.get("/api/sessions", headers=headers)).json()["sessions"]
    path = f"/api/sessions/{session['id']}/messages"
    messages = (await alice.laptop.http.get(path, headers=headers)).json()["messages"]
    assert [message["text"] for message in messages] == ["Text of m1", "Text of m2", "Text of odd"]
    assert [len(message["imageIds"]) for message in messages] == [1, 0, 1]
    second = await account(f"{user_id}2")
    assert second.avatar is None
    assert await inconsistencies([user.id, second.id]) == []


async def test_a_rehearsal_tells_of_broken_fields_what_the_import_tells(
    alice: Person, filled: Express, user_id: str
) -> None:
    await filled.add_message("early", "s1", createdAt="0001-01-01T00:00:00+14:00")
    broken = {"half": '{"\\ud800": 1}', "vast": '{"a": 1e999}', "none": '{"a": NaN}'}
    for message_id, params in broken.items():
        await filled.add_message(message_id, "s1", 8, params=params)
    await filled.add_message("large", "s1", 9, params='{"a": 100000000000000000000}')
    rehearsed, report = await bring(filled, "--dry-run"), await bring(filled)
    left_out = [f"message:{each} has params that are no JSON" for each in broken]
    assert [re.split(" of|: ", sentence)[0] for sentence in report["bad"]] == ["message:early", *left_out]
    assert rehearsed == report | {"dryRun": True}
    headers = await signed_in(alice, f"{user_id}@example.org")
    [session] = (await alice.laptop.http.get("/api/sessions", headers=headers)).json()["sessions"]
    path = f"/api/sessions/{session['id']}/messages"
    messages = (await alice.laptop.http.get(path, headers=headers)).json()["messages"]
    assert [message["params"] for message in messages[2:]] == [{}, {}, {}, {"a": 1e20}]


@pytest.mark.parametrize("params", [{"\ud800": 1}, {"a": 2**64}])
def test_params_that_cannot_be_written_as_json_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="This must be JSON"):
        ParamsField().run_validation(params)


SALT_AND_DIGEST = HASH[7:]


async def test_hashes_that_bcrypt_cannot_check_are_told(express: Express, user_id: str) -> None:
    impossible = [f"$2y$10${'a' * 53}", f"$2b$99${SALT_AND_DIGEST}", f"$2b$17${SALT_AND_DIGEST}"]
    impossible += [f"$2b$03${SALT_AND_DIGEST}", f"$2$10${SALT_AND_DIGEST}", f"{HASH}a"]
    for number, password in enumerate([*impossible, HASH.replace("$2a$", "$2y$")]):
        await express.add_user(f"{user_id}{number}", password=password)
    report = await bring(express)
    assert report["users"] == len(impossible) + 1
    assert report["bad"] == [
        f"user:{user_id}{number} has no bcrypt hash: it is brought in, and can sign in after a reset."
        for number in range(len(impossible))
    ]


async def test_what_was_not_foreseen_is_told_and_keeps_nobody_else_out(
    filled: Express, user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled.add_user(f"{user_id}2")
    await filled.add_session("other", f"{user_id}2")
    await filled.add_message("m4", "other")

    def moved(message_id: str, *rest: Any) -> Any:
        return 1 // (message_id != "m2") and message_of(message_id, *rest)

    monkeypatch.setattr(importing, "message_of", moved)
    report = await bring(filled)
    [told] = report["bad"]
    assert told.startswith(f"user:{user_id}: not all of it came: ZeroDivisionError")
    assert (report["users"], report["sessions"], report["messages"], report["images"]) == (2, 1, 1, 0)
    users = [await account(each) for each in (user_id, f"{user_id}2")]
    assert await inconsistencies([user.id for user in users]) == []


async def test_a_list_in_another_order_is_put_right(alice: Person, express: Express, user_id: str) -> None:
    await express.add_user(user_id)
    await express.add_session("s1", user_id, createdAt="1737972180123")
    for minute in (30, 10, 20):
        await express.add_message(f"m{minute}", "s1", minute)
    assert (await bring(express))["bad"] == []
    headers = await signed_in(alice, f"{user_id}@example.org")
    [session] = (await alice.laptop.http.get("/api/sessions", headers=headers)).json()["sessions"]
    assert session["createdAt"] == at(3)
    path = f"/api/sessions/{session['id']}/messages"
    messages = (await alice.laptop.http.get(path, headers=headers)).json()["messages"]
    assert [message["createdAt"] for message in messages] == [at(10), at(20), at(30)]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://localhost", "--from must start with"),
        ("redis://secret:word@127.0.0.1:1/0", r"The Redis at 127\.0\.0\.1 does not answer"),
        ("unix:///nowhere", "does not answer"),
        ("redis://secret:word@127.0.0.1:port", "--from is no address of a Redis"),
        ("redis://:sec/ret:word@127.0.0.1", "--from is no address of a Redis"),
        ("redis://[::1", "--from is no address of a Redis"),
        ("redis://127.0.0.1:1?foo=bar", "--from is no address of a Redis"),
    ],
)
async def test_a_source_that_is_none_is_told(server: WebServer, url: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as caught:
        await run("import_express", "--from", url)
    assert "secret" not in str(caught.value)
    assert "word" not in str(caught.value)


async def test_the_directory_has_to_be_there(server: WebServer) -> None:
    with pytest.raises(CommandError, match="is no directory"):
        await run("import_express", "--from", SOURCE, "--media", "/nowhere")


def test_nothing_outside_of_the_directory_is_found(tmp_path: Path) -> None:
    inside = tmp_path / "media"
    (inside / "a").mkdir(parents=True)
    (inside / "a" / "1.jpg").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"2")
    (inside / "link").symlink_to(tmp_path / "secret")
    media = MediaDirectory(inside)
    found = {address: media.find(address) for address in ADDRESSES}
    assert [address for address, path in found.items() if path] == ADDRESSES[:3]


ADDRESSES = [
    "https://bucket.example.com/some/a/1.jpg?X-Amz-Signature=2",
    "/a/1.jpg",
    "a%2F1.jpg",
    "../secret",
    "/media/../../secret",
    "link",
    "a",
    "",
    "http://[",
    "a/1.jpg\0",
    json.dumps({"a": 1}),
    "x" * 5000,
]
