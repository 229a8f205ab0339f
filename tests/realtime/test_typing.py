"""Typing indicators, between devices of one process and of two."""

import pytest

from realtime import indicators
from tests.realtime.conftest import Client, say
from tests.support.people import Person


async def test_the_other_devices_in_the_session_see_it(
    alice: Person, tablet: Client, session_id: str
) -> None:
    connected = await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    await tablet.listen(session_id)
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    for device in (alice.phone, tablet):
        frame = await device.next_frame()
        assert frame.pop("timestamp")
        assert frame == {
            "type": "user_typing",
            "sessionId": session_id,
            "userId": alice.id,
            "deviceId": connected["deviceId"],
            "connectionId": connected["connectionId"],
            "isTyping": True,
        }
    assert await alice.laptop.heard() == []


async def test_devices_elsewhere_and_strangers_do_not(
    alice: Person, mallory: Person, session_id: str
) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen((await alice.make_session())["id"])
    await mallory.phone.listen((await mallory.make_session())["id"])
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    await alice.laptop.heard()
    await alice.make_session()
    assert await alice.phone.heard_types(at_least=1) == ["session_created"]
    assert await mallory.phone.heard() == []


async def test_it_ends_when_the_device_says_so(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=False)
    assert [(await alice.phone.next_frame())["isTyping"] for _ in range(2)] == [True, False]


async def test_it_ends_by_itself(alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicators, "SECONDS_SHOWN", 0.2)
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    assert [(await alice.phone.next_frame())["isTyping"] for _ in range(2)] == [True, False]


async def test_it_ends_with_the_connection(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    assert (await alice.phone.next_frame())["isTyping"] is True
    assert alice.laptop.socket
    await alice.laptop.socket.close()
    assert (await alice.phone.next_frame())["isTyping"] is False


async def test_it_ends_when_the_device_leaves_the_session(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    await say(alice.laptop, "leave_session", sessionId=session_id)
    assert [(await alice.phone.next_frame())["isTyping"] for _ in range(2)] == [True, False]


async def test_each_key_pressed_is_not_told_anew(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    for _ in range(10):
        await say(alice.laptop, "typing", sessionId=session_id, isTyping=True)
    for _ in range(2):
        await say(alice.laptop, "typing", sessionId=session_id, isTyping=False)
    await alice.laptop.heard()
    await alice.make_session()
    heard = [await alice.phone.next_frame() for _ in range(3)]
    assert [frame.get("isTyping") for frame in heard] == [True, False, None]
