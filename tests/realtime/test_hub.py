"""The hub by itself: what it reads, what it survives, and what it finds without being told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from nanobanana.background import Background
from nanobanana.redisdb.client import connect, get_client
from nanobanana.redisdb.event_log import Cursor, LogSlice, read_behind
from nanobanana.redisdb.keys import doorbell_channel, log_key
from realtime import hub as hub_module
from realtime import subscription as subscription_module
from realtime.doorbell import Ear
from realtime.hub import Hub
from realtime.subscription import Subscription
from tests.realtime.conftest import Wire, append_silently, eventually, make_peer
from tests.support.people import Person
from tests.support.redis_server import RunningRedis


@pytest.fixture
async def hub(redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """A hub of its own that checks positions often."""
    monkeypatch.setattr(hub_module, "CHECK_INTERVAL", 0.05)
    hub = Hub(redis_server.url)
    hub.start()
    yield hub
    await hub.stop()


async def subscribers_of(user_id: str) -> int:
    (_, count) = await get_client().execute_command("PUBSUB", "NUMSUB", doorbell_channel(user_id))
    return count


async def nobody_listens_to(user_id: str) -> bool:
    return await subscribers_of(user_id) == 0


async def reads_of_logs() -> int:
    """Of all logs that have something new."""
    stats = await get_client().info("commandstats")
    return stats.get("cmdstat_xrange", {"calls": 0})["calls"]


async def test_all_sockets_of_a_user_share_one_subscription(alice: Person, session_id: str, hub: Hub) -> None:
    wires = [Wire() for _ in range(5)]
    for wire in wires:
        await hub.join(await make_peer(alice.phone, session_id, wire))
    assert await subscribers_of(alice.id) == 1
    await alice.make_session()
    for wire in wires:
        assert [frame["type"] for frame in await wire.has(2)] == ["connected", "session_created"]


async def test_all_sockets_are_sent_the_same_text(alice: Person, session_id: str, hub: Hub) -> None:
    wires = [Wire(), Wire()]
    for wire in wires:
        await hub.join(await make_peer(alice.phone, session_id, wire))
    await alice.make_session()
    for wire in wires:
        await wire.has(2)
    assert wires[0].sent[1]["text"] is wires[1].sent[1]["text"]


async def test_bells_that_ring_together_are_answered_by_one_read(alice: Person, session_id: str) -> None:
    subscription = Subscription(alice.id, Background())
    wire = Wire()
    await subscription.join(await make_peer(alice.phone, session_id, wire), None, is_return=False)
    for _ in range(3):
        cursor = await append_silently(alice.id, "session_updated")
    before = await reads_of_logs()
    for _ in range(100):
        subscription.ring(cursor)
    assert [frame.get("cursor") for frame in await wire.has(4)][-1] == str(cursor)
    assert await reads_of_logs() == before + 1


async def test_a_bell_that_rings_while_the_first_socket_joins_is_answered(
    alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = Subscription(alice.id, Background())
    rung: list[Cursor] = []

    async def read_and_be_overtaken(user_id: str, since: Cursor | None) -> LogSlice:
        log = await read_behind(user_id, since)
        if not rung:
            rung.append(await append_silently(user_id, "session_updated"))
            subscription.ring(rung[0])
        return log

    monkeypatch.setattr(subscription_module, "read_behind", read_and_be_overtaken)
    wire = Wire()
    await subscription.join(await make_peer(alice.phone, session_id, wire), None, is_return=False)
    assert (await wire.has(2))[1]["cursor"] == str(rung[0])


async def test_an_event_without_a_bell_is_found_by_the_position_check(
    alice: Person, session_id: str, hub: Hub
) -> None:
    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, wire))
    cursor = await append_silently(alice.id, "session_updated")
    assert (await wire.has(2))[1]["cursor"] == str(cursor)


async def test_a_connection_lost_while_it_is_made_is_noticed(redis_server: RunningRedis) -> None:
    client = connect(redis_server.url)
    handshake = client.connection_pool.make_connection()
    await handshake.connect()
    assert handshake._writer
    handshake._writer.transport.abort()
    await asyncio.sleep(0.05)
    ear = Ear(handshake, lambda reply: None)
    assert ear.is_lost.is_set()
    ear.send("PING")
    ear.close()
    await client.aclose()


async def test_who_joins_just_when_the_connection_is_lost_is_subscribed_on_the_next_one(
    alice: Person, session_id: str, hub: Hub
) -> None:
    await hub.join(await make_peer(alice.laptop, session_id, Wire()))
    for _ in range(3):
        assert hub._doorbell._ear
        hub._doorbell._ear._transport.abort()
        wire = Wire()
        peer = await make_peer(alice.phone, session_id, wire)
        hub._doorbell.unsubscribe([doorbell_channel(alice.id)])
        await hub.join(peer)
        await alice.make_session()
        assert [frame["type"] for frame in await wire.has(2)] == ["connected", "session_created"]


async def test_a_log_that_went_back_means_to_resync(alice: Person, session_id: str, hub: Hub) -> None:
    """As after a failover to a replica that lacked the newest writes."""
    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, wire))
    await get_client().hincrby(log_key(alice.id), "offset", -1)
    assert [frame["type"] for frame in await wire.has(2)] == ["connected", "resync_required"]


async def test_what_cannot_be_read_comes_as_its_ids_and_stops_nothing(
    alice: Person, session_id: str, hub: Hub
) -> None:
    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, wire))
    session_key = f"nb:{{u:{alice.id}}}:session:{session_id}"
    for key, value in ((session_key, "no time"), ("nb:nobody", "1"), (session_key, b"\xff")):
        await append_silently(alice.id, "session_updated", "@", key, "title", value, "created_at", value)
    await alice.make_session()
    frames = await wire.has(5)
    assert [frame["payload"] for frame in frames[1:4]] == [{"sessionId": "S", "partial": True}] * 3
    assert frames[4]["payload"].keys() == {"session"}


async def test_a_socket_that_fails_does_not_hinder_its_neighbour(
    alice: Person, session_id: str, hub: Hub
) -> None:
    async def broken(message: dict[str, Any]) -> None:
        raise OSError("the peer has left")

    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, broken))
    await hub.join(await make_peer(alice.phone, session_id, wire))
    await alice.make_session()
    await alice.make_session()
    assert [frame["type"] for frame in await wire.has(3)] == ["connected"] + ["session_created"] * 2


@pytest.mark.parametrize(
    "word", ["", "gibberish", "{}", "{", "[]", '{"sessionId":7}', "signed-out", ":", "a:b:c"]
)
async def test_a_word_that_nobody_understands_is_passed_over(
    alice: Person, session_id: str, hub: Hub, word: str
) -> None:
    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, wire))
    await hub.publish(alice.id, word)
    await alice.make_session()
    assert [frame["type"] for frame in await wire.has(2)] == ["connected", "session_created"]


async def test_a_user_without_sockets_is_forgotten_and_can_come_back(
    alice: Person, session_id: str, hub: Hub
) -> None:
    first, second = Wire(), Wire()
    peer = await make_peer(alice.phone, session_id, first)
    await hub.join(peer)
    await first.has(1)
    hub.leave(peer)
    await eventually(lambda: nobody_listens_to(alice.id))
    await hub.join(await make_peer(alice.phone, session_id, second))
    await alice.make_session()
    assert [frame["type"] for frame in await second.has(2)] == ["connected", "session_created"]
    assert len(first.frames) == 1


async def test_a_stopped_hub_closes_its_sockets(alice: Person, session_id: str, hub: Hub) -> None:
    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, wire))
    await hub.stop()
    assert wire.close_code == 1012
    await eventually(lambda: nobody_listens_to(alice.id))


async def test_typing_reaches_the_sockets_of_another_hub(alice: Person, session_id: str, hub: Hub) -> None:
    wire = Wire()
    await hub.join(await make_peer(alice.phone, session_id, wire))
    connected = await alice.laptop.listen(session_id)
    assert alice.laptop.socket
    typing = {"type": "typing", "payload": {"sessionId": session_id, "isTyping": True}}
    await alice.laptop.socket.send(orjson.dumps(typing).decode())
    frame = (await wire.has(2))[1]
    assert (frame["type"], frame["connectionId"]) == ("user_typing", connected["connectionId"])
