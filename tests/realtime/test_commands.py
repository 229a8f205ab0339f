"""What a client may say, and what it hears when it says something else."""

import asyncio
from typing import Any

import pytest

from accounts.models import User
from chats.services.sessions import create_session
from nanobanana.redisdb.ids import new_id
from realtime.authentication import SESSIONS_OF_A_DEVICE
from tests.realtime.conftest import close_code, say
from tests.support.people import Person

MALFORMED: list[tuple[str | bytes, str]] = [
    ("", "malformed_body"),
    ("hello", "malformed_body"),
    ('{"type":"ping"', "malformed_body"),
    ("[" * 2000 + "]" * 2000, "malformed_body"),
    ('{"type":"ping"} {"type":"ping"}', "malformed_body"),
    (b'{"type":"ping"}', "malformed_body"),
    (b"\xff\xfe", "malformed_body"),
    ("null", "invalid_request"),
    ("[]", "invalid_request"),
    ('"ping"', "invalid_request"),
    ("{}", "invalid_request"),
    ('{"type":7}', "invalid_request"),
    ('{"type":["ping"]}', "invalid_request"),
    ('{"type":"destroy"}', "invalid_request"),
    ('{"type":"__init__"}', "invalid_request"),
    ('{"type":"join_session"}', "validation_failed"),
    ('{"type":"join_session","payload":[]}', "validation_failed"),
    ('{"type":"join_session","payload":{}}', "validation_failed"),
    ('{"type":"join_session","payload":{"sessionId":7}}', "validation_failed"),
    ('{"type":"join_session","payload":{"sessionId":"nonsense"}}', "not_found"),
    ('{"type":"leave_session","payload":{"sessionId":"nonsense"}}', "not_found"),
    ('{"type":"typing","payload":{"isTyping":true}}', "validation_failed"),
    ('{"type":"typing","payload":{"sessionId":"nonsense","isTyping":"perhaps"}}', "validation_failed"),
    ('{"type":"typing","payload":{"sessionId":"nonsense","isTyping":true}}', "not_found"),
    ('{"type":"authenticate"}', "validation_failed"),
    ('{"type":"authenticate","payload":{"token":7}}', "validation_failed"),
    ('{"type":"authenticate","payload":{"token":""}}', "validation_failed"),
    ('{"type":"authenticate","payload":{"token":"nonsense"}}', "token_invalid"),
    ('{"type":"authenticate","payload":{"token":"漢字.\\u0000.x"}}', "validation_failed"),
    ('{"type":"join_session","payload":{"sessionId":"\\ud800"}}', "malformed_body"),
]


@pytest.mark.parametrize(("frame", "code"), MALFORMED)
async def test_a_malformed_frame_is_answered_and_the_connection_stays(
    alice: Person, session_id: str, frame: str | bytes, code: str
) -> None:
    await alice.phone.listen(session_id)
    assert alice.phone.socket
    await alice.phone.socket.send(frame)
    answers = await alice.phone.heard()
    assert [(answer["type"], answer["code"]) for answer in answers] == [("error", code)]
    assert answers[0]["message"]


async def test_an_invalid_payload_is_explained_by_field(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    await say(alice.phone, "typing", sessionId=session_id)
    (answer,) = await alice.phone.heard()
    assert answer["details"] == {"isTyping": ["This field is required."]}


async def test_a_ping_is_answered(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    await say(alice.phone, "ping")
    assert await alice.phone.next_frame() == {"type": "pong"}


async def test_a_pong_is_a_sign_of_life_and_no_more(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    await say(alice.phone, "pong")
    assert await alice.phone.heard() == []


async def test_joining_the_same_session_again_is_confirmed_again(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    await say(alice.phone, "join_session", sessionId=session_id)
    (answer,) = await alice.phone.heard()
    assert answer.keys() == {"type", "sessionId", "timestamp"}
    assert (answer["type"], answer["sessionId"]) == ("joined_session", session_id)


async def test_a_foreign_session_cannot_be_joined(alice: Person, mallory: Person, session_id: str) -> None:
    await mallory.phone.listen((await mallory.make_session())["id"])
    await say(mallory.phone, "join_session", sessionId=session_id)
    assert [frame["code"] for frame in await mallory.phone.heard()] == ["not_found"]
    await say(mallory.phone, "join_session", sessionId=new_id())
    assert [frame["code"] for frame in await mallory.phone.heard()] == ["not_found"]


async def test_the_sessions_of_a_device_are_bounded(alice: Person, session_id: str) -> None:
    user = User(alice.id, alice.id)
    sessions = await asyncio.gather(*(create_session(user=user) for _ in range(SESSIONS_OF_A_DEVICE)))
    ids = [session.id for session in sessions]
    connected = await alice.phone.listen(session_id, join=",".join(ids))
    assert len(connected["sessionIds"]) == SESSIONS_OF_A_DEVICE
    await say(alice.phone, "join_session", sessionId=ids[-1])
    assert [frame["code"] for frame in await alice.phone.heard()] == ["conflict"]


async def test_a_large_frame_closes_the_socket(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    await say(alice.phone, "ping", filling="x" * 70_000)
    assert await close_code(alice.phone) == 1009


async def test_text_that_is_not_utf_8_closes_the_socket(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    assert alice.phone.socket
    await alice.phone.socket.send(b"\xff\xfe", text=True)
    assert await close_code(alice.phone) == 1007


async def test_a_flood_of_frames_closes_the_socket(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    for _ in range(200):
        await say(alice.phone, "pong")
    assert await close_code(alice.phone) == 4029


async def test_neighbours_do_not_notice(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    frames: list[Any] = [frame for frame, _ in MALFORMED]
    assert alice.phone.socket
    for frame in frames:
        await alice.phone.socket.send(frame)
    await alice.phone.heard()
    assert await alice.laptop.heard() == []
