"""The check that other tests rely on finds every kind of fault."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from chats.managers import NOTES
from media_store.storage import get_storage
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import owner_key
from tests.support.consistency import inconsistencies
from tests.support.people import Person


@dataclass
class Chat:
    """A session with one message, which shows an image, and another image that none shows."""

    user_id: str
    session_id: str
    message_id: str
    shown_id: str
    unused_id: str

    def key(self, *parts: str) -> str:
        return owner_key(self.user_id, *parts)


@pytest.fixture
async def chat(alice: Person) -> Chat:
    session = await alice.make_session()
    shown, unused = [await alice.make_image(session["id"]) for _ in range(2)]
    message = await alice.make_message(session["id"], imageIds=[shown["id"]])
    return Chat(alice.id, session["id"], message["id"], shown["id"], unused["id"])


async def test_it_finds_nothing_where_all_is_well(chat: Chat) -> None:
    assert await inconsistencies([chat.user_id]) == []


DAMAGES: dict[str, Callable[[Any, Chat], Awaitable[Any]]] = {
    "which does not belong there": lambda redis, chat: redis.delete(chat.key("message", chat.message_id)),
    "does not list": lambda redis, chat: redis.zrem(
        chat.key("session", chat.session_id, "messages"), chat.message_id
    ),
    "instead of": lambda redis, chat: redis.zincrby(chat.key("sessions"), 1, chat.session_id),
    "images:unreferenced does not list": lambda redis, chat: redis.delete(chat.key("images", "unreferenced")),
    "images:unreferenced lists": lambda redis, chat: redis.zadd(
        chat.key("images", "unreferenced"), {chat.shown_id: 1}
    ),
    "counts 2 in message_count of 1": lambda redis, chat: redis.hincrby(
        chat.key("session", chat.session_id), "message_count", 1
    ),
    "counts 3 in ref_count of 1": lambda redis, chat: redis.hincrby(
        chat.key("image", chat.shown_id), "ref_count", 2
    ),
    "(image_ids), which does not exist": lambda redis, chat: redis.delete(chat.key("image", chat.shown_id)),
    "(session_id), which does not exist": lambda redis, chat: redis.delete(chat.key("session", chat.session_id)),
    "cannot be read": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id), "created_at", "yesterday"
    ),
    "is not as old as its id": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id), "created_at", "1"
    ),
    "belongs to no model": lambda redis, chat: redis.hset(chat.key("nonsense", chat.message_id), "a", "b"),
    "edits lists": lambda redis, chat: redis.zadd(
        chat.key("session", chat.session_id, "edits"), {chat.message_id: 1}
    ),
    "revisions is of no message": lambda redis, chat: redis.hset(
        chat.key("message", chat.unused_id, "revisions"), "0", "{}"
    ),
    "of a message at 0": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id, "revisions"), "0", "{}"
    ),
    "has None bytes of its thumb": lambda redis, chat: get_storage().delete(
        f"{chat.user_id}/{chat.shown_id}/thumb"
    ),
    "bytes of its original": lambda redis, chat: get_storage().put(
        f"{chat.user_id}/{chat.shown_id}/original", b"short"
    ),
    "The log of": lambda redis, chat: redis.xdel(chat.key("events"), "2-0"),
    "and has": lambda redis, chat: redis.hincrby(chat.key("log"), "offset", 1),
}


@pytest.mark.parametrize("sentence", DAMAGES)
async def test_it_finds_each_kind_of_fault(chat: Chat, mallory: Person, sentence: str) -> None:
    await DAMAGES[sentence](get_client(), chat)
    assert any(sentence in fault for fault in await inconsistencies([chat.user_id]))
    assert await inconsistencies([mallory.id]) == []


async def test_it_finds_who_is_not_noted_for_the_purge(alice: Person, chat: Chat) -> None:
    await alice.delete(f"/api/sessions/{chat.session_id}")
    assert await inconsistencies([alice.id]) == []
    await get_client().zincrby(NOTES, 60_000, alice.id)
    assert ["has something to purge" in fault for fault in await inconsistencies([alice.id])] == [True]
    await get_client().zrem(NOTES, alice.id)
    assert ["has something to purge" in fault for fault in await inconsistencies([alice.id])] == [True]
