"""The Python SyncClient: each change once and in order, whatever happens to the network."""

import asyncio
import random
import time
from typing import Any

import pytest
from nanobanana_client import ApiError, Change, MemoryTokens, NanobananaClient, Tokens
from nanobanana_client.sync import session_ids

from nanobanana.serializers import ID
from realtime.serializers import MOST_SESSIONS
from tests.accounts.test_tokens import claims_of, signed
from tests.clients.bad_network import BadNetwork
from tests.clients.calls import Calls, calling
from tests.clients.listener import Listener, listening
from tests.support.people import PATIENCE, Person

EVENTS, CUTS = 200, 50
TOO_LONG_AGO = ["0f:3", "nonsense"]
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"  # an id of no session


async def test_it_hears_what_another_device_does(
    alice: Person, laptop: NanobananaClient, session_id: str
) -> None:
    async with listening(laptop, session_id) as device:
        connected = await device.hears("connected")
        assert (connected.session_ids, connected.recovered) == ([session_id], False)
        written = await alice.phone.post(
            f"/api/sessions/{session_id}/messages", {"role": "user", "text": "Hello"}
        )
        await device.until(lambda: bool(device.texts))
        change: Change = next(each for each in device.all("change") if each.message)
        assert (change.type, change.message.id) == ("message_created", written.json()["messageData"]["id"])
        assert change.session_id == session_id
        assert device.sync.status == "live"
    assert device.sync.cursor is not None
    assert device.sync.status == "ended"


async def test_nothing_is_lost_or_doubled_through_cuts(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    page = await phone.messages.list(session_id)
    texts = [f"number {number}" for number in range(EVENTS)]
    # Of so many cuts some come in the handshake: then it polls, and soon has a socket again.
    options = {"since": page.sync_cursor, "sockets_again": 0.05}
    async with listening(phone, session_id, **options) as device:
        await device.hears("connected")
        cutting = asyncio.create_task(cut_at_random(network, device))
        for text in texts:
            await laptop.messages.create(session_id, text=text)
        await cutting
        await device.until(lambda: len(device.texts) >= EVENTS)
        assert device.texts == texts
        assert device.all("resynced") == []
        assert len(device.all("connected")) > CUTS / 4


async def cut_at_random(network: BadNetwork, device: Listener) -> None:
    """Most of the cuts come while it listens, some in the handshake."""
    dice = random.Random(5)
    cuts = 0
    while cuts < CUTS:
        await asyncio.sleep(dice.uniform(0, 0.03))
        if device.sync.status == "live" or dice.random() < 0.1:
            cuts += network.cut()


async def test_it_polls_where_sockets_cannot_be_opened(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    network.refuses_sockets = True
    elsewhere = (await laptop.sessions.create()).id
    options = {"since": await position(phone), "unopened_sockets": 2, "sockets_again": 1}
    async with listening(phone, session_id, **options) as device:
        await device.until(lambda: device.sync.status == "polling")
        await laptop.messages.create(elsewhere, text="of no interest")
        await laptop.messages.create(session_id, text="polled")
        await device.until(lambda: device.texts == ["polled"])
        device.sync.join(elsewhere)
        assert (await device.hears("joined_session")).session_id == elsewhere
        await laptop.messages.create(elsewhere, text="of interest now")
        await device.until(lambda: device.texts == ["polled", "of interest now"])
        network.refuses_sockets = False
        connected = await device.hears("connected")
        assert (set(connected.session_ids), connected.recovered) == ({session_id, elsewhere}, True)
        await laptop.messages.create(session_id, text="live")
        await device.until(lambda: device.texts == ["polled", "of interest now", "live"])
        assert device.sync.status == "live"


async def position(client: NanobananaClient) -> str:
    return (await client.events.since(None)).cursor


@pytest.mark.parametrize("since", TOO_LONG_AGO)
async def test_who_missed_too_much_is_told_once(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str, since: str
) -> None:
    async with listening(phone, session_id, since=since) as device:
        resynced = await device.hears("resynced")
        await laptop.messages.create(session_id, text="after it")
        await device.until(lambda: device.texts == ["after it"])
        network.cut()
        await device.hears("connected", 2)
        await laptop.messages.create(session_id, text="after the cut")
        await device.until(lambda: device.texts == ["after it", "after the cut"])
        assert device.all("resynced") == [resynced]
        assert device.all("connected")[1].recovered


@pytest.mark.parametrize("since", TOO_LONG_AGO)
async def test_who_polls_is_told_too(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str, since: str
) -> None:
    network.refuses_sockets = True
    async with listening(phone, session_id, since=since, unopened_sockets=1) as device:
        resynced = await device.hears("resynced")
        await laptop.messages.create(session_id, text="after it")
        await device.until(lambda: device.texts == ["after it"])
        assert device.all("resynced") == [resynced]


async def test_an_empty_position_is_none(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    async with listening(phone, session_id, since="") as device:
        await device.hears("connected")
        assert device.sync.cursor == await position(laptop)
        network.refuses_sockets = True
        network.cut()
        await laptop.messages.create(session_id, text="missed")
        network.refuses_sockets = False
        await device.until(lambda: device.texts == ["missed"])
        assert device.all("resynced") == []


@pytest.mark.parametrize("session_id", ["", "nonsense", NOBODY.lower(), f"{NOBODY}\n", f"{NOBODY},{NOBODY}"])
async def test_what_is_no_id_is_an_error_at_once(laptop: NanobananaClient, session_id: str) -> None:
    with pytest.raises(ValueError, match="not the id of a session"):
        laptop.sync([NOBODY, session_id])
    sync = laptop.sync([NOBODY])
    with pytest.raises(ValueError, match="not the id of a session"):
        sync.join(session_id)
    assert sync.session_ids == [NOBODY]


async def test_one_session_too_many_is_an_error_at_once(laptop: NanobananaClient) -> None:
    most = [f"01ARZ3NDEKTSV4RRFFQ69G5{number:03}" for number in range(MOST_SESSIONS)]
    with pytest.raises(ValueError, match="100 sessions at once"):
        laptop.sync([*most, NOBODY])
    sync = laptop.sync(most)
    with pytest.raises(ValueError, match="100 sessions at once"):
        sync.join(NOBODY)
    sync.join(most[0])
    assert sync.session_ids == most
    sync.leave(most[0])
    sync.join(NOBODY)
    assert sync.session_ids == [*most[1:], NOBODY]


def test_it_takes_what_the_server_takes() -> None:
    assert (session_ids.ID.pattern, session_ids.MOST_SESSIONS) == (ID, MOST_SESSIONS)


async def test_who_polls_has_joined_when_a_poll_was_answered(
    alice: Person, laptop: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    network.refuses_sockets = True
    elsewhere, calls = (await laptop.sessions.create()).id, Calls()
    async with (
        calling(alice, calls, network.url) as phone,
        listening(phone, session_id, since=await position(laptop), unopened_sockets=1) as device,
    ):
        await device.until(lambda: device.sync.status == "polling")
        calls.find_nobody = True
        device.sync.join(elsewhere)
        await calls.lose(2)
        assert device.all("joined_session") == []
        calls.find_nobody = False
        assert (await device.hears("joined_session")).session_id == elsewhere
        await laptop.messages.create(elsewhere, text="of interest now")
        await device.until(lambda: device.texts == ["of interest now"])


async def test_it_goes_on_from_where_it_was_stopped(laptop: NanobananaClient, session_id: str) -> None:
    async with listening(laptop, session_id) as device:
        await device.hears("connected")
        await laptop.messages.create(session_id, text="first")
        await device.until(lambda: device.texts == ["first"])
    await laptop.messages.create(session_id, text="second")
    async with listening(laptop, session_id, since=device.sync.cursor) as device:
        await device.until(lambda: device.texts == ["second"])


async def test_a_handler_that_stops_it_is_the_last_to_be_called(
    laptop: NanobananaClient, session_id: str
) -> None:
    since = await position(laptop)
    for number in range(3):
        await laptop.messages.create(session_id, text=str(number))
    sync = laptop.sync([session_id], since=since)
    heard: list[str] = []

    async def stop(change: Change) -> None:
        heard.append(change.message.text if change.message else "")
        sync.stop()

    sync.on("message_created", stop)
    async with asyncio.timeout(PATIENCE):
        await sync.run()
    assert heard == ["0"]
    async with listening(laptop, session_id, since=sync.cursor) as device:
        await device.until(lambda: device.texts == ["1", "2"])


async def test_a_handler_that_fails_stops_nothing(
    laptop: NanobananaClient, session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(laptop, session_id) as device:
        device.sync.on("message_created", lambda _: 1 / 0)
        await device.hears("connected")
        await laptop.messages.create(session_id, text="one")
        await laptop.messages.create(session_id, text="two")
        await device.until(lambda: device.texts == ["one", "two"])
    assert "A handler of message_created failed" in caplog.text


async def test_a_handler_that_awaits_what_is_cancelled_stops_nothing(
    laptop: NanobananaClient, session_id: str
) -> None:
    async def wait_for_cancelled(_: Change) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    async with listening(laptop, session_id) as device:
        device.sync.on("message_created", wait_for_cancelled)
        await device.hears("connected")
        await laptop.messages.create(session_id, text="one")
        await laptop.messages.create(session_id, text="two")
        await device.until(lambda: device.texts == ["one", "two"])


async def test_it_joins_and_leaves_also_after_a_cut(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    joined = (await laptop.sessions.create()).id
    async with listening(phone, session_id) as device:
        await device.hears("connected")
        device.sync.join(joined)
        device.sync.join(NOBODY)
        assert (await device.hears("error")).code == "not_found"
        assert (await device.hears("joined_session")).session_id == joined
        device.sync.leave(session_id)
        assert (await device.hears("left_session")).session_id == session_id
        await device.until(lambda: device.sync.session_ids == [joined])  # what was refused is not asked for
        network.cut()
        connected = await device.hears("connected", 2)
        assert connected.session_ids == [joined]
        await laptop.messages.create(session_id, text="not heard")
        await laptop.messages.create(joined, text="heard")
        await device.until(lambda: bool(device.texts))
        assert device.texts == ["heard"]
        assert len(device.all("left_session")) == 1


async def test_a_session_that_is_gone_is_left_and_the_next_one_is_heard(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    deleted = [(await laptop.sessions.create()).id for _ in range(2)]
    async with listening(phone, *deleted, session_id, unopened_sockets=1000) as device:
        await device.hears("connected")
        network.refuses_sockets = True
        network.cut()
        for each in deleted:
            await laptop.sessions.delete(each)
        network.refuses_sockets = False
        connected = await device.hears("connected", 2)
        assert (connected.session_ids, connected.recovered) == ([session_id], True)
        await device.hears("left_session", 2)
        assert {left.session_id for left in device.all("left_session")} == set(deleted)
        assert device.sync.session_ids == [session_id]
        await laptop.messages.create(session_id, text="heard")
        await device.until(lambda: device.texts == ["heard"])
    assert [notice.error for notice in device.all("ended")] == []


async def test_without_a_session_it_polls(laptop: NanobananaClient, session_id: str) -> None:
    async with listening(laptop, NOBODY, since=await position(laptop)) as device:
        assert (await device.hears("left_session")).session_id == NOBODY
        await device.until(lambda: device.sync.status == "polling")
        await laptop.messages.create(session_id, text="of no interest")
        created = await laptop.sessions.create("Later")
        await device.until(lambda: created.id in {each.session_id for each in device.all("change")})
        assert device.texts == []
        device.sync.join(session_id)
        assert (await device.hears("joined_session")).session_id == session_id
        assert device.sync.status == "live"
        await laptop.messages.create(session_id, text="of interest now")
        await device.until(lambda: device.texts == ["of interest now"])


async def test_who_left_all_sessions_opens_no_socket(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    async with listening(phone, session_id) as device:
        await device.hears("connected")
        device.sync.leave(session_id)
        await device.hears("left_session")
        network.cut()
        await device.until(lambda: device.sync.status == "polling")
        created = await laptop.sessions.create("Later")
        await device.until(lambda: created.id in {each.session_id for each in device.all("change")})
        assert len(sockets_asked_for(network)) == 1


def sockets_asked_for(network: BadNetwork) -> list[bytes]:
    return [head for head in network.requests if head.startswith(b"GET /ws/")]


async def test_typing_and_presence(
    laptop: NanobananaClient, phone: NanobananaClient, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanobanana_client.sync.typists.BELIEVE", 0.1)
    async with listening(laptop, session_id) as at_desk, listening(phone, session_id) as on_the_way:
        await at_desk.hears("connected")
        connected = await on_the_way.hears("connected")
        for _ in range(20):
            on_the_way.sync.typing(session_id)
        typing = await at_desk.hears("user_typing")
        assert (typing.is_typing, typing.connection_id) == (True, connected.connection_id)
        assert not (await at_desk.hears("user_typing", 2)).is_typing  # nothing more was heard
        await at_desk.until(
            lambda: any(
                device.device_id == connected.device_id
                for presence in at_desk.all("presence")
                for device in presence.devices
            )
        )


async def test_a_silent_server_is_left(phone: NanobananaClient, network: BadNetwork, session_id: str) -> None:
    async with listening(phone, session_id, silence=0.2) as device:
        await device.hears("connected")
        await device.hears("connected", 2)  # nothing was said in between


async def test_only_a_refusal_of_the_device_ends_it(
    laptop: NanobananaClient,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    get_ticket = laptop.accounts.socket_ticket

    async def refuse_once(**_: Any) -> None:
        monkeypatch.setattr(laptop.accounts, "socket_ticket", get_ticket)
        raise ApiError(200, "unexpected_answer", "A page of the hotel.")

    monkeypatch.setattr(laptop.accounts, "socket_ticket", refuse_once)
    async with listening(laptop, session_id) as device:
        await device.hears("connected")
    assert "A page of the hotel." in caplog.text


async def test_signing_the_device_out_ends_it(
    alice: Person, laptop: NanobananaClient, session_id: str
) -> None:
    async with listening(laptop, session_id) as device:
        await device.hears("connected")
        await alice.laptop.post("/api/auth/logout")
        assert (await device.hears("ended")).error.status == 401


async def test_a_token_that_ends_is_renewed_in_place(alice: Person, session_id: str) -> None:
    end = int(time.time()) + 2
    store = MemoryTokens(
        Tokens(signed(claims_of(alice.phone.token) | {"exp": end}), alice.phone.refresh_token)
    )
    async with (
        NanobananaClient(alice.phone.server.url, store=store) as client,
        listening(client, session_id) as device,
    ):
        await device.hears("connected")
        await asyncio.sleep(end + 0.5 - time.time())
        await alice.make_message(session_id, "after the end of the first token")
        await device.until(lambda: bool(device.texts))
        assert len(device.all("connected")) == 1
