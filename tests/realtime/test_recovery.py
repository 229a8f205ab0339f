"""State and events agree: what a client read, and what it hears from the cursor of that answer on."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest

from nanobanana.redisdb.event_log import Cursor
from tests.realtime.conftest import Client
from tests.support.people import Device, Person

READERS, WRITES = 4, 40
Texts = dict[str, str]  # of the messages, by id


@pytest.mark.parametrize(
    "path",
    [
        "/api/auth/me",
        "/api/auth/devices",
        "/api/sessions",
        "/api/sessions/{session}",
        "/api/sessions/{session}/messages",
        "/api/sessions/{session}/stats",
        "/api/images/user/all",
        "/api/images/session/{session}",
    ],
)
async def test_a_read_says_where_the_log_stood(alice: Person, session_id: str, path: str) -> None:
    await alice.make_message(session_id)
    answer = await alice.get(path.format(session=session_id))
    assert answer.status_code == 200
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_a_write_says_where_its_own_event_is(alice: Person, session_id: str) -> None:
    before = Cursor.parse((await alice.get("/api/sessions")).headers["X-Sync-Cursor"])
    answer = await alice.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    assert answer.headers["X-Sync-Cursor"] == str(Cursor(before.epoch, before.offset + 1))


async def test_a_new_account_has_a_position(alice: Person) -> None:
    cursor = Cursor.parse((await alice.get("/api/sessions")).headers["X-Sync-Cursor"])
    assert (len(cursor.epoch), cursor.offset) == (8, 0)


async def test_a_stranger_has_none(alice: Person) -> None:
    answer = await alice.laptop.http.get("/health")
    assert "X-Sync-Cursor" not in answer.headers


async def test_state_and_events_agree_while_others_write(
    alice: Person, tablet: Client, session_id: str
) -> None:
    """Each reader loads the list in the middle of writes, and goes on by socket from the list's cursor."""
    await alice.make_message(session_id, "the first")
    writing = asyncio.create_task(write(alice, tablet, session_id))
    readers = [asyncio.create_task(follow(alice, session_id, writing)) for _ in range(READERS)]
    await writing
    in_the_end = await alice.get(f"/api/sessions/{session_id}/messages?limit=100")
    for reader in readers:
        assert await reader == texts_of(in_the_end.json()["messages"])


async def write(alice: Person, tablet: Client, session_id: str) -> None:
    """Create, change and delete, through both processes."""
    chance, ids = random.Random(5), []
    for number in range(WRITES):
        device = chance.choice((alice.laptop, tablet))
        body = {"role": "user", "text": f"Number {number}"}
        if number % 4 == 3:
            await device.delete(f"/api/messages/{ids.pop(chance.randrange(len(ids)))}")
        elif number % 4 == 2:
            await device.put(f"/api/messages/{chance.choice(ids)}", body)
        else:
            answer = await device.post(f"/api/sessions/{session_id}/messages", body)
            ids.append(answer.json()["messageData"]["id"])


async def follow(alice: Person, session_id: str, writing: asyncio.Task[None]) -> Texts:
    """The texts that a client shows in the end: those of a list, and what it hears afterwards."""
    await asyncio.sleep(random.random() / 5)
    listed = await alice.phone.get(f"/api/sessions/{session_id}/messages?limit=100")
    texts = texts_of(listed.json()["messages"])
    client = Device(alice.phone.server, "reader", alice.id, alice.phone.token, alice.phone.refresh_token)
    frame = await client.listen(session_id, since=listed.headers["X-Sync-Cursor"])
    assert frame["recovered"] is True
    await writing
    head = await alice.position()
    while frame["cursor"] != head:
        frame = await client.next_frame()
        apply(frame, texts)
    await client.close()
    return texts


def apply(frame: dict[str, Any], texts: Texts) -> None:
    match frame:
        case {"type": "message_created" | "message_updated", "payload": {"message": message}}:
            texts[message["id"]] = message["text"]
        case {"type": "message_deleted", "payload": {"messageId": message_id}}:
            texts.pop(message_id, None)


def texts_of(messages: Iterable[dict[str, Any]]) -> Texts:
    return {message["id"]: message["text"] for message in messages}
