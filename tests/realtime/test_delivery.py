"""Who hears what, and what it looks like."""

from nanobanana.redisdb.event_log import Cursor
from tests.realtime.conftest import Client, say
from tests.support.people import Person


async def test_the_other_device_hears_a_write(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    message = await alice.make_message(session_id, "Look at this")
    frame = await alice.phone.next_frame()
    assert frame.keys() == {"type", "sessionId", "payload", "cursor", "timestamp"}
    assert (frame["type"], frame["sessionId"]) == ("message_created", session_id)
    assert frame["payload"] == {"message": message}
    assert frame["timestamp"].endswith("Z")


async def test_the_acting_device_hears_it_too_and_can_tell_by_the_cursor(
    alice: Person, session_id: str
) -> None:
    await alice.laptop.listen(session_id)
    answer = await alice.laptop.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    frame = await alice.laptop.next_frame()
    assert frame["type"] == "session_updated"
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_a_device_on_another_process_hears_it(alice: Person, tablet: Client, session_id: str) -> None:
    await tablet.listen(session_id)
    await alice.make_message(session_id)
    assert await tablet.heard_types(at_least=2) == ["message_created", "session_updated"]


async def test_a_device_elsewhere_hears_of_the_session_but_not_of_its_messages(
    alice: Person, session_id: str
) -> None:
    elsewhere = await alice.make_session()
    await alice.phone.listen(elsewhere["id"])
    await alice.make_message(session_id)
    await alice.make_session()
    assert await alice.phone.heard_types(at_least=2) == ["session_updated", "session_created"]


async def test_a_stranger_hears_nothing(alice: Person, mallory: Person, session_id: str) -> None:
    await mallory.phone.listen((await mallory.make_session())["id"])
    await alice.phone.listen(session_id)
    await alice.make_message(session_id)
    await alice.phone.heard_types(at_least=2)
    assert await mallory.phone.heard() == []


async def test_a_device_can_be_in_several_sessions(alice: Person, session_id: str) -> None:
    other = (await alice.make_session())["id"]
    await alice.phone.listen(session_id)
    await say(alice.phone, "join_session", sessionId=other)
    assert [(frame["type"], frame["sessionId"]) for frame in await alice.phone.heard()] == [
        ("joined_session", other)
    ]
    await alice.make_message(other)
    assert await alice.phone.heard_types(at_least=2) == ["message_created", "session_updated"]


async def test_a_session_that_was_left_is_not_heard_of(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    await say(alice.phone, "leave_session", sessionId=session_id)
    await alice.make_message(session_id)
    assert await alice.phone.heard_types(at_least=2) == ["left_session", "session_updated"]


async def test_every_write_is_heard_once_and_in_order(alice: Person, tablet: Client, session_id: str) -> None:
    cursor = Cursor.parse((await tablet.listen(session_id))["cursor"])
    for number in range(50):
        await alice.make_message(session_id, f"Number {number}")
    frames = []
    while len(frames) < 100:
        frames.append(await tablet.next_frame())
    expected = [str(Cursor(cursor.epoch, cursor.offset + number)) for number in range(1, 101)]
    assert [frame["cursor"] for frame in frames] == expected


async def test_a_message_comes_with_its_images(alice: Person, session_id: str) -> None:
    image = await alice.make_image(session_id)
    await alice.phone.listen(session_id)
    message = await alice.make_message(session_id, imageIds=[image["id"]])
    heard = (await alice.phone.next_frame())["payload"]["message"]
    assert heard == message
    assert [image["refCount"] for image in heard["images"]] == [1]


async def test_an_uploaded_image_is_heard_of(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    image = await alice.make_image(session_id)
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("image_created", {"image": image})


async def test_a_changed_profile_is_heard_of_without_anything_secret(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    answer = await alice.put("/api/auth/me", {"username": "Alicia"})
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["sessionId"]) == ("user_updated", None)
    assert frame["payload"] == {"user": answer.json()["user"]}
    assert "password" not in frame["payload"]["user"]


async def test_deletions_come_as_ids(alice: Person, session_id: str) -> None:
    message = await alice.make_message(session_id)
    await alice.phone.listen(session_id)
    await alice.delete(f"/api/messages/{message['id']}")
    await alice.delete(f"/api/sessions/{session_id}")
    deleted = [await alice.phone.next_frame() for _ in range(3)]
    assert [(frame["type"], frame["payload"]) for frame in deleted if frame["type"].endswith("deleted")] == [
        ("message_deleted", {"sessionId": session_id, "messageId": message["id"]}),
        ("session_deleted", {"sessionId": session_id}),
    ]


async def test_a_large_message_comes_as_its_ids(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    message = await alice.make_message(session_id, "漢" * 2000)
    frame = await alice.phone.next_frame()
    assert frame["payload"] == {"sessionId": session_id, "messageId": message["id"], "partial": True}
