"""A device that returns hears what it missed, once and in order; else it is told."""

import asyncio
from typing import Any

import pytest

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import events_key, log_key
from tests.realtime.conftest import Client, Kill
from tests.support.people import Person
from tests.support.redis_server import RunningRedis


async def leave(client: Client) -> None:
    assert client.socket
    await client.socket.close()


def texts_of(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["payload"]["message"]["text"] for frame in frames if frame["type"] == "message_created"]


async def test_what_was_missed_comes_once_and_in_order(
    alice: Person, tablet: Client, session_id: str
) -> None:
    connected = await tablet.listen(session_id)
    await alice.make_message(session_id, "heard")
    heard = [await tablet.next_frame() for _ in range(2)]
    await leave(tablet)
    for number in range(3):
        await alice.make_message(session_id, f"missed {number}")
    again = await tablet.listen(session_id, since=heard[-1]["cursor"])
    assert (again["recovered"], again["cursor"]) == (True, heard[-1]["cursor"])
    await alice.make_message(session_id, "live")
    frames = [await tablet.next_frame() for _ in range(8)]
    assert texts_of(frames) == ["missed 0", "missed 1", "missed 2", "live"]
    assert connected["cursor"] < heard[0]["cursor"] < frames[0]["cursor"]
    assert await tablet.heard() == []


async def test_from_the_very_beginning_everything_comes(alice: Person, session_id: str) -> None:
    connected = await alice.phone.listen(session_id)
    epoch = connected["cursor"].partition(":")[0]
    await leave(alice.phone)
    await alice.phone.listen(session_id, since=f"{epoch}:0")
    assert await alice.phone.heard_types() == ["session_created"]


async def test_a_device_that_missed_nothing_hears_nothing(alice: Person, session_id: str) -> None:
    cursor = (await alice.phone.listen(session_id))["cursor"]
    await leave(alice.phone)
    again = await alice.phone.listen(session_id, since=cursor)
    assert (again["recovered"], again["cursor"]) == (True, cursor)
    assert await alice.phone.heard() == []


async def test_only_what_the_device_would_have_heard_comes(alice: Person, session_id: str) -> None:
    elsewhere = (await alice.make_session())["id"]
    cursor = (await alice.phone.listen(elsewhere))["cursor"]
    await leave(alice.phone)
    await alice.make_message(session_id)
    await alice.phone.listen(elsewhere, since=cursor)
    assert await alice.phone.heard_types() == ["session_updated"]


async def test_sessions_joined_in_the_address_are_resumed_too(alice: Person, session_id: str) -> None:
    other = (await alice.make_session())["id"]
    cursor = (await alice.phone.listen(session_id, join=other))["cursor"]
    await leave(alice.phone)
    await alice.make_message(other)
    await alice.phone.listen(session_id, join=other, since=cursor)
    assert await alice.phone.heard_types() == ["message_created", "session_updated"]


async def test_behind_the_window_a_device_is_told_once_to_resync(alice: Person, session_id: str) -> None:
    cursor = (await alice.phone.listen(session_id))["cursor"]
    await leave(alice.phone)
    for _ in range(5):
        await alice.make_message(session_id)
    await get_client().xtrim(events_key(alice.id), maxlen=2, approximate=False)
    connected = await alice.phone.listen(session_id, since=cursor)
    assert connected["recovered"] is False
    assert await alice.phone.heard() == [{"type": "resync_required", "cursor": connected["cursor"]}]
    await alice.make_session()
    assert await alice.phone.heard_types(at_least=1) == ["session_created"]


@pytest.mark.parametrize("since", ["abcdef:3", "{epoch}:999", "nonsense", "{epoch}:-1", ":0", "{epoch}"])
async def test_a_position_of_no_log_of_ours_means_to_resync(
    alice: Person, session_id: str, since: str
) -> None:
    epoch = (await alice.phone.listen(session_id))["cursor"].partition(":")[0]
    await leave(alice.phone)
    connected = await alice.phone.listen(session_id, since=since.format(epoch=epoch))
    assert connected["recovered"] is False
    assert await alice.phone.heard() == [{"type": "resync_required", "cursor": connected["cursor"]}]


async def test_a_stranger_cannot_resume_from_anothers_position(
    alice: Person, mallory: Person, session_id: str
) -> None:
    cursor = (await alice.phone.listen(session_id))["cursor"]
    own = (await mallory.make_session())["id"]
    connected = await mallory.phone.listen(own, since=cursor)
    assert connected["recovered"] is False
    assert [frame["type"] for frame in await mallory.phone.heard()] == ["resync_required"]


async def test_nothing_is_lost_when_the_subscription_is_cut(
    alice: Person, tablet: Client, session_id: str, kill_subscriptions: Kill
) -> None:
    await alice.phone.listen(session_id)
    await tablet.listen(session_id)
    for number in range(20):
        await kill_subscriptions()
        await alice.make_message(session_id, f"Number {number}")
    for device in (alice.phone, tablet):
        frames = [await device.next_frame(patience=15) for _ in range(40)]
        assert texts_of(frames) == [f"Number {number}" for number in range(20)]


async def test_a_log_that_began_anew_is_said_once_to_a_live_device(alice: Person, session_id: str) -> None:
    """As after a restore from a backup: the same user, another epoch."""
    await alice.phone.listen(session_id)
    await get_client().delete(log_key(alice.id), events_key(alice.id))
    renamed = await alice.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    assert await alice.phone.next_frame() == {
        "type": "resync_required",
        "cursor": renamed.headers["X-Sync-Cursor"],
    }
    await alice.make_session()
    assert await alice.phone.heard_types(at_least=1) == ["session_created"]


async def test_nothing_is_lost_when_redis_is_restarted(
    alice: Person, tablet: Client, session_id: str, redis_server: RunningRedis
) -> None:
    await alice.phone.listen(session_id)
    await tablet.listen(session_id)
    for number in range(3):
        await alice.make_message(session_id, f"Number {number}")
        await asyncio.to_thread(redis_server.kill)
        await asyncio.to_thread(redis_server.restart)
    for device in (alice.phone, tablet):
        frames = [await device.next_frame(patience=15) for _ in range(6)]
        assert texts_of(frames) == ["Number 0", "Number 1", "Number 2"]
