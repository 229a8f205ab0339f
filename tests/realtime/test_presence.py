"""Who of an account is in a session, told and asked, on one process and on two."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from accounts.tokens import read_access_token
from nanobanana.background import Background
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import doorbell_channel, owner_key
from realtime import attendance, hub
from realtime.attendance import Attendance
from realtime.hub import Hub
from tests.realtime.conftest import Client, Wire, eventually, frames_and_close_code, make_peer, opened, say
from tests.support.people import PATIENCE, Device, Person
from tests.support.redis_server import RunningRedis

QUICK = 0.1  # seconds


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here; the other process takes the time it takes."""
    monkeypatch.setattr(attendance, "SETTLING", QUICK + 0.05)
    monkeypatch.setattr(attendance, "FAREWELL", QUICK)


def device_id(device: Device) -> str:
    return read_access_token(device.token).device_id


async def asked(person: Person, session_id: str) -> list[str]:
    """The ids of the devices that are there, as REST answers them."""
    answer = await person.get(f"/api/sessions/{session_id}/presence")
    assert answer.status_code == 200, answer.text
    return [device["deviceId"] for device in answer.json()["devices"]]


async def told(device: Device, session_id: str) -> list[str]:
    """The ids of the devices that are there, as the next word of it has them."""
    while (frame := await device.any_frame())["type"] != "presence":
        pass
    assert frame.keys() == {"type", "sessionId", "payload"}
    assert frame["sessionId"] == session_id
    return [present["deviceId"] for present in frame["payload"]["devices"]]


async def leave(device: Device) -> None:
    assert device.socket
    await device.socket.close()


async def hears_nothing_of_it(device: Device) -> None:
    await asyncio.sleep(3 * QUICK)
    assert device.socket
    await device.socket.send('{"type":"ping"}')
    assert (await device.any_frame())["type"] == "pong"


async def test_the_devices_in_a_session_are_told_who_is_there(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    assert await told(alice.laptop, session_id) == [device_id(alice.laptop)]
    await alice.phone.listen(session_id)
    both = [device_id(alice.laptop), device_id(alice.phone)]
    assert await told(alice.laptop, session_id) == both
    assert await told(alice.phone, session_id) == both
    await leave(alice.phone)
    assert await told(alice.laptop, session_id) == [device_id(alice.laptop)]


async def test_rest_answers_the_same(alice: Person, session_id: str) -> None:
    assert await asked(alice, session_id) == []
    await alice.phone.listen(session_id)
    frame = await alice.phone.any_frame()
    answer = await alice.get(f"/api/sessions/{session_id}/presence")
    assert answer.json() == {"devices": frame["payload"]["devices"]}
    [present] = answer.json()["devices"]
    devices = {each["id"]: each["name"] for each in (await alice.get("/api/auth/devices")).json()["devices"]}
    assert present == {
        "deviceId": device_id(alice.phone),
        "name": devices[device_id(alice.phone)],
        "since": present["since"],
    }
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_a_device_on_another_process_is_there_too(
    alice: Person, tablet: Client, session_id: str
) -> None:
    await alice.phone.listen(session_id)
    assert await told(alice.phone, session_id) == [device_id(alice.phone)]
    await tablet.listen(session_id)
    both = [device_id(alice.phone), device_id(tablet)]
    assert await told(alice.phone, session_id) == both
    assert await told(tablet, session_id) == both
    assert await asked(alice, session_id) == both


async def test_a_page_that_is_loaded_anew_makes_no_noise(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    before = (await alice.get(f"/api/sessions/{session_id}/presence")).json()
    while len(await told(alice.laptop, session_id)) < 2:
        pass
    await leave(alice.phone)
    await alice.phone.listen(session_id)
    await hears_nothing_of_it(alice.laptop)
    assert (await alice.get(f"/api/sessions/{session_id}/presence")).json() == before


async def test_a_device_with_two_sockets_is_there_once(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    async with opened(alice.phone, f"/ws/{session_id}?token={alice.phone.token}"):
        assert await told(alice.phone, session_id) == [device_id(alice.phone)]
        assert await asked(alice, session_id) == [device_id(alice.phone)]
    await hears_nothing_of_it(alice.phone)
    assert await asked(alice, session_id) == [device_id(alice.phone)]


async def test_it_is_of_the_sessions_a_device_is_in(alice: Person, session_id: str) -> None:
    other = (await alice.make_session())["id"]
    await alice.laptop.listen(session_id)
    await alice.phone.listen(other)
    assert await told(alice.laptop, session_id) == [device_id(alice.laptop)]
    assert await told(alice.phone, other) == [device_id(alice.phone)]
    await say(alice.phone, "join_session", sessionId=session_id)
    both = [device_id(alice.laptop), device_id(alice.phone)]
    assert await told(alice.laptop, session_id) == both
    assert await told(alice.phone, session_id) == both
    await say(alice.phone, "leave_session", sessionId=session_id)
    assert await told(alice.laptop, session_id) == [device_id(alice.laptop)]
    assert await asked(alice, other) == [device_id(alice.phone)]


async def test_a_stranger_learns_nothing(alice: Person, mallory: Person, session_id: str) -> None:
    await mallory.phone.listen((await mallory.make_session())["id"])
    await alice.phone.listen(session_id)
    await told(alice.phone, session_id)
    answer = await mallory.get(f"/api/sessions/{session_id}/presence")
    assert answer.status_code == 404
    frame = await mallory.phone.any_frame()
    assert [each["deviceId"] for each in frame["payload"]["devices"]] == [device_id(mallory.phone)]
    await hears_nothing_of_it(mallory.phone)


@pytest.mark.parametrize("session", ["nonsense", "01ARZ3NDEKTSV4RRFFQ69G5FAV"])
async def test_of_a_session_that_does_not_exist_nobody_is_told(alice: Person, session: str) -> None:
    assert (await alice.get(f"/api/sessions/{session}/presence")).status_code == 404


async def test_what_a_killed_process_leaves_is_gone_by_itself(
    alice: Person, session_id: str, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that says nothing any more stands for it."""
    monkeypatch.setattr(attendance, "LIFE", 0.5)
    monkeypatch.setattr(attendance, "HEARTBEAT", 0.1)
    killed, alive = Hub(redis_server.url), Hub(redis_server.url)
    alive.start()
    wire = Wire()
    assert await killed_enters(killed, await make_peer(alice.laptop, session_id, Wire()))
    await alive.connect(await make_peer(alice.phone, session_id, wire))
    both = {device_id(alice.laptop), device_id(alice.phone)}
    frames = await wire.has(2)
    assert {each["deviceId"] for each in frames[1]["payload"]["devices"]} == both
    frames = await wire.has(3)
    assert [each["deviceId"] for each in frames[2]["payload"]["devices"]] == [device_id(alice.phone)]
    assert await asked(alice, session_id) == [device_id(alice.phone)]
    await alive.stop()


async def killed_enters(killed: Hub, peer: Any) -> bool:
    is_in = await killed._subscription_of(peer).attendance.enter(peer)
    killed._subscription_of(peer).attendance._timer.cancel()
    return is_in


async def test_who_is_here_is_known_again_after_redis_forgot(
    alice: Person, session_id: str, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "HEARTBEAT", 0.1)
    alone = Hub(redis_server.url)
    alone.start()
    await alone.connect(await make_peer(alice.phone, session_id, Wire()))
    await get_client().delete(owner_key(alice.id, "presence"))

    async def is_back() -> bool:
        return await asked(alice, session_id) == [device_id(alice.phone)]

    await eventually(is_back)
    await alone.stop()


async def test_idle_sockets_of_a_user_cost_one_call_a_beat(
    alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    async def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return await script(*arguments)

    script = attendance._presence
    mine = Attendance(alice.id, Background())
    for _ in range(5):
        await mine.enter(await make_peer(alice.phone, session_id, Wire()))
    monkeypatch.setattr(attendance, "_presence", counted)
    await mine.beat()
    assert len(calls) == 1


# ---- the most sockets of a user
async def is_connected(socket: ClientConnection) -> bool:
    """Whether the socket was let in; else it was one too many."""
    with suppress(ConnectionClosed):
        return '"connected"' in await asyncio.wait_for(socket.recv(decode=True), PATIENCE)
    assert socket.close_code == 4013
    return False


async def test_so_many_sockets_and_no_more_over_all_processes(
    alice: Person,
    mallory: Person,
    tablet: Client,
    session_id: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attendance, "FAREWELL", 2)  # as the other process has it
    await tablet.listen(session_id)
    settings.SOCKETS_PER_USER = 2
    await alice.phone.listen(session_id)
    address = f"/ws/{session_id}?token={alice.laptop.token}"
    async with opened(alice.laptop, address) as refused:
        assert await frames_and_close_code(refused) == ([], 4013)
    await mallory.phone.listen((await mallory.make_session())["id"])
    await leave(tablet)

    async def there_is_room() -> bool:
        async with opened(alice.laptop, address) as socket:
            return await is_connected(socket)

    await eventually(there_is_room)


async def test_sockets_opened_all_at_once_are_counted_exactly(
    alice: Person, session_id: str, settings: Any
) -> None:
    settings.SOCKETS_PER_USER = 5
    address = f"/ws/{session_id}?token={alice.laptop.token}"

    async def try_it() -> bool:
        async with opened(alice.laptop, address) as socket:
            is_in = await is_connected(socket)
            await everybody_tried.wait()
            return is_in

    everybody_tried = asyncio.Barrier(12)
    assert sum(await asyncio.gather(*(try_it() for _ in range(12)))) == 5


async def test_nothing_of_it_is_written_to_disk(
    alice: Person, session_id: str, redis_server: RunningRedis
) -> None:
    await alice.phone.listen(session_id)
    await told(alice.phone, session_id)
    key = owner_key(alice.id, "presence")
    assert await get_client().exists(key)
    written = b"".join(file.read_bytes() for file in redis_server.directory.glob("**/*.aof"))
    assert alice.id.encode() in written
    assert key.encode() not in written


def test_the_times_agree() -> None:
    """docs/websocket.md promises both."""
    assert attendance.LIFE + attendance.HEARTBEAT <= 80
    assert hub.CHECK_INTERVAL < attendance.HEARTBEAT < attendance.LIFE / 2


@pytest.mark.parametrize(
    "word", ["presence", "presence:", "presence:1", "presence:x:[]", "presence:1:{}", "presence:1:[[1]]"]
)
async def test_a_word_that_nobody_understands_is_passed_over(
    alice: Person, session_id: str, word: str
) -> None:
    await alice.phone.listen(session_id)
    await told(alice.phone, session_id)
    await get_client().publish(doorbell_channel(alice.id), word)
    await alice.make_session()
    assert (await alice.phone.next_frame())["type"] == "session_created"
