"""The Python SyncClient: each change once and in order, whatever happens to the network."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nanobanana_client import Change, NanobananaClient, SyncClient

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
    alice: Person, phone: NanobananaClient, network: BadNetwork, session_id: str
) -> None:
    page = await phone.messages.list(session_id)
    async with listening(phone, session_id, since=page.sync_cursor, unopened_sockets=99) as device:
        await device.hears("connected")
        cutting = asyncio.create_task(cut_at_random(network, device))
        texts = [f"number {number}" for number in range(EVENTS)]
        for text in texts:
            await alice.make_message(session_id, text)
        await cutting
        await device.until(lambda: len(device.texts) >= EVENTS)
        assert device.texts == texts
        assert device.all("resynced") == []


async def cut_at_random(network: BadNetwork, device: Listener) -> None:
    dice = random.Random(5)
    cuts = 0
    while cuts < CUTS:
        await asyncio.sleep(dice.uniform(0, 0.03))
        cuts += bool(network.cut())
