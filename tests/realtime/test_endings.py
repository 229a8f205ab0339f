"""When and how the server ends a connection."""

import socket
import time

import pytest
from websockets.asyncio.client import connect

from accounts.models import Device
from accounts.tokens import read_access_token
from chats.models import Session
from nanobanana.events import SessionUpdated
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.keys import events_key, log_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from realtime import consumers, outbox
from realtime.hub import get_hub
from tests.realtime.conftest import (
    Client,
    Kill,
    close_code,
    eventually,
    frames_and_close_code,
    opened,
    token_of,
)
from tests.support.people import PATIENCE, Person

LONG_TITLE = "x" * 3500  # an event carries no more
BATCHES, BATCH = 20, 100


async def test_a_signed_out_device_is_closed_and_the_others_are_not(
    alice: Person, tablet: Client, session_id: str
) -> None:
    await alice.phone.listen(session_id)
    await tablet.listen(session_id)
    await alice.laptop.listen(session_id)
    await alice.phone.post("/api/auth/logout")
    assert await close_code(alice.phone) == 4401
    assert await alice.laptop.heard() == []
    assert await tablet.heard() == []


async def test_a_changed_password_closes_every_other_device(
    alice: Person, tablet: Client, session_id: str
) -> None:
    for device in (alice.laptop, alice.phone, tablet):
        await device.listen(session_id)
    body = {"currentPassword": alice.password, "newPassword": "an even better horse"}
    assert (await alice.laptop.put("/api/auth/password", body)).status_code == 200
    assert await close_code(alice.phone) == 4401
    assert await close_code(tablet) == 4401
    assert await alice.laptop.heard_types(at_least=1) == ["user_updated"]


async def test_a_deleted_account_closes_all_its_sockets(
    alice: Person, mallory: Person, tablet: Client, session_id: str
) -> None:
    await mallory.phone.listen((await mallory.make_session())["id"])
    for device in (alice.phone, tablet):
        await device.listen(session_id)
    await alice.laptop.delete("/api/auth/me", {"password": alice.password})
    assert await close_code(alice.phone) == 4401
    assert await close_code(tablet) == 4401
    assert await mallory.phone.heard() == []


async def test_a_device_signed_out_while_the_subscription_was_cut_is_closed(
    alice: Person, session_id: str, kill_subscriptions: Kill
) -> None:
    """As if the word of it had been lost: the device just vanishes."""
    await alice.phone.listen(session_id)
    await alice.laptop.listen(session_id)
    claims = read_access_token(alice.phone.token)
    await get_client().delete(Device(claims.user_id, claims.device_id).key)
    await kill_subscriptions()
    assert await close_code(alice.phone) == 4401
    assert await alice.laptop.heard() == []


async def test_an_account_whose_log_is_gone_has_no_sockets(
    alice: Person, session_id: str, kill_subscriptions: Kill
) -> None:
    await alice.phone.listen(session_id)
    await get_client().delete(log_key(alice.id), events_key(alice.id))
    await kill_subscriptions()
    assert await close_code(alice.phone) == 4401


async def test_an_expired_token_closes_the_socket(alice: Person, session_id: str) -> None:
    token = token_of(alice.phone, seconds=2)
    async with opened(alice.phone, f"/ws/{session_id}?token={token}") as connection:
        frames, code = await frames_and_close_code(connection)
    assert [frame["type"] for frame in frames] == ["connected", "token_expired"]
    assert code == 4401
    assert time.time() >= token["exp"]


async def test_the_server_pings_with_the_position_and_drops_a_silent_peer(
    alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PING_INTERVAL", 0.1)
    connected = await alice.phone.listen(session_id)
    assert alice.phone.socket
    frames, code = await frames_and_close_code(alice.phone.socket)
    assert frames == [{"type": "ping", "cursor": connected["cursor"]}] * 2
    assert code == 4012


async def test_a_peer_that_answers_stays(
    alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PING_INTERVAL", 0.1)
    await alice.phone.listen(session_id)
    assert alice.phone.socket
    for _ in range(5):
        assert (await alice.phone.next_frame())["type"] == "ping"
        await alice.phone.socket.send('{"type":"pong"}')


async def test_a_reader_that_stops_is_closed_and_the_others_hear_everything(
    alice: Person, session_id: str
) -> None:
    async with reading_nothing(alice.phone, session_id) as slow:
        await alice.laptop.listen(session_id)
        cursors = await write_much(alice, session_id)
        offsets = [Cursor.parse(cursor).offset for cursor in cursors]
        assert offsets == list(range(offsets[0], offsets[0] + BATCHES * BATCH))
        frames, code = await frames_and_close_code(slow)
    assert frames[0]["type"] == "connected"
    assert [frame["cursor"] for frame in frames[1:]] == cursors[: len(frames) - 1]
    assert code == 4008


async def test_a_reader_that_never_reads_again_is_cut(
    alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SECONDS_TO_CLOSE", 0.2)
    before = get_hub().sockets

    async def only_the_laptop_is_left() -> bool:
        return get_hub().sockets == before + 1

    async with reading_nothing(alice.phone, session_id) as slow:
        await alice.laptop.listen(session_id)
        await write_much(alice, session_id)
        await eventually(only_the_laptop_is_left)
        assert (await frames_and_close_code(slow))[1] is None


def reading_nothing(client: Client, session_id: str) -> connect:
    """A socket whose reader stops after the first frames."""
    receiver = socket.create_connection(("127.0.0.1", client.server.port))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    address = f"{client.server.websocket_url}/ws/{session_id}?token={client.token}"
    return connect(address, sock=receiver, max_queue=1, open_timeout=PATIENCE, close_timeout=1)


async def write_much(alice: Person, session_id: str) -> list[str]:
    """More events than the kernel and an outbox hold; the answer is the cursors that the laptop hears."""
    cursors: list[str] = []
    for number in range(BATCHES):
        session = await Session.objects.aget(alice.id, session_id)
        async with unit_of_work(alice.id) as work:
            Session.objects.update(work, session, title=f"{number} {LONG_TITLE}")
            for _ in range(BATCH):
                work.emit(SessionUpdated(session_id=session_id), session)
        cursors += [(await alice.laptop.next_frame())["cursor"] for _ in range(BATCH)]
    return cursors
