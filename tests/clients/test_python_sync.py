"""The Python SyncClient: each change once and in order, whatever happens to the network."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nanobanana_client import ApiError, Change, MemoryTokens, NanobananaClient, SyncClient, Tokens

from tests.accounts.test_tokens import claims_of, signed
from tests.clients.bad_network import BadNetwork
from tests.clients.conftest import QUICK
from tests.support.people import PATIENCE, Person

EVENTS, CUTS = 200, 50


class Listener:
    """A SyncClient and all it told."""

    def __init__(self, client: NanobananaClient, *session_ids: str, **options: Any) -> None:
        self.sync: SyncClient = client.sync(session_ids, **{"backoff": QUICK, **options})
        self.told: list[tuple[str, Any]] = []
        self.news = asyncio.Event()
        for type in (
            *("change", "status", "connected", "resynced", "joined_session", "left_session"),
            *("user_typing", "presence", "error", "ended"),
        ):
            self.sync.on(type, self._keep(type))  # type: ignore[arg-type]

    def _keep(self, type: str) -> Callable[[Any], None]:
        def keep(notice: Any) -> None:
            self.told.append((type, notice))
            self.news.set()

        return keep

    def all(self, type: str) -> list[Any]:
        return [notice for told, notice in self.told if told == type]

    @property
    def texts(self) -> list[str]:
        return [change.message.text for change in self.all("change") if change.type == "message_created"]

    async def hears(self, type: str, count: int = 1) -> Any:
        await self.until(lambda: len(self.all(type)) >= count)
        return self.all(type)[count - 1]

    async def until(self, is_so: Callable[[], bool], patience: float = PATIENCE) -> None:
        async with asyncio.timeout(patience):
            while not is_so():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def listening(client: NanobananaClient, *session_ids: str, **options: Any) -> AsyncIterator[Listener]:
    listener = Listener(client, *session_ids, **options)
    async with listener.sync:
        yield listener


@pytest.fixture
async def session_id(alice: Person) -> str:
    return (await alice.make_session())["id"]


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


async def test_who_missed_too_much_is_told_once(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    async with listening(phone, session_id, since="0f:3") as device:
        resynced = await device.hears("resynced")
        await laptop.messages.create(session_id, text="after it")
        await device.until(lambda: device.texts == ["after it"])
        network.cut()
        await device.hears("connected", 2)
        await laptop.messages.create(session_id, text="after the cut")
        await device.until(lambda: device.texts == ["after it", "after the cut"])
        assert device.all("resynced") == [resynced]
        assert device.all("connected")[1].recovered


async def test_who_polls_is_told_too(phone: NanobananaClient, network: BadNetwork, session_id: str) -> None:
    network.refuses_sockets = True
    async with listening(phone, session_id, since="0f:3", unopened_sockets=1) as device:
        resynced = await device.hears("resynced")
        await device.until(lambda: device.sync.cursor == resynced.cursor)


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


async def test_large_objects_come_whole(laptop: NanobananaClient, session_id: str) -> None:
    async with listening(laptop, session_id) as device:
        await device.hears("connected")
        message = await laptop.messages.create(session_id, text="long " * 2000)
        await device.until(lambda: device.texts == [message.text])


async def test_it_joins_and_leaves_also_after_a_cut(
    laptop: NanobananaClient, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    joined, unknown = (await laptop.sessions.create()).id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    async with listening(phone, session_id) as device:
        await device.hears("connected")
        device.sync.join(joined)
        device.sync.join(unknown)
        assert (await device.hears("error")).code == "not_found"
        assert (await device.hears("joined_session")).session_id == joined
        device.sync.leave(session_id)
        assert (await device.hears("left_session")).session_id == session_id
        network.cut()
        connected = await device.hears("connected", 2)
        assert connected.session_ids == [joined]
        assert (await device.hears("left_session", 2)).session_id == unknown
        await laptop.messages.create(session_id, text="not heard")
        await laptop.messages.create(joined, text="heard")
        await device.until(lambda: bool(device.texts))
        assert device.texts == ["heard"]


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


async def test_a_session_that_is_not_there_ends_it(laptop: NanobananaClient) -> None:
    listener = Listener(laptop, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(ApiError) as ended:
        await listener.sync.run()
    assert (ended.value.status, ended.value.code) == (404, "not_found")
    assert [notice.error for notice in listener.all("ended")] == [ended.value]


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
