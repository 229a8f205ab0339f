"""The Python SyncClient: what is too large for an event is fetched, and what comes later waits."""

import pytest
from nanobanana_client import ApiError, Backoff, MemoryTokens, NanobananaClient, Tokens

from tests.clients.calls import Calls, calling
from tests.clients.listener import listening
from tests.support.people import Person


async def test_large_objects_come_whole(laptop: NanobananaClient, session_id: str) -> None:
    async with listening(laptop, session_id) as device:
        await device.hears("connected")
        message = await laptop.messages.create(session_id, text="long " * 2000)
        await device.until(lambda: device.texts == [message.text])


async def test_an_object_that_cannot_be_had_yet_keeps_the_rest_waiting(
    alice: Person, laptop: NanobananaClient, session_id: str
) -> None:
    calls = Calls()
    async with calling(alice, calls) as phone, listening(phone, session_id) as device:
        await device.hears("connected")
        before = device.sync.cursor
        calls.find_nobody = True
        long = await laptop.messages.create(session_id, text="long " * 2000)
        await laptop.messages.create(session_id, text="after it")
        await calls.lose(3)
        assert device.texts == []
        assert device.sync.cursor == before
        calls.find_nobody = False
        await device.until(lambda: device.texts == [long.text, "after it"])
        assert device.all("resynced") == []
        assert len(device.all("connected")) == 1


async def test_stopping_ends_the_wait_for_an_object(
    alice: Person, laptop: NanobananaClient, session_id: str
) -> None:
    calls, patient = Calls(), Backoff(first=10_000, longest=10_000)
    async with calling(alice, calls) as phone, listening(phone, session_id, backoff=patient) as device:
        await device.hears("connected")
        before = device.sync.cursor
        calls.find_nobody = True
        long = await laptop.messages.create(session_id, text="long " * 2000)
        await calls.lose(1)
    assert (device.sync.status, device.sync.cursor, device.texts) == ("ended", before, [])
    async with listening(laptop, session_id, since=before) as device:
        await device.until(lambda: device.texts == [long.text])


class Unreadable(MemoryTokens):
    """A store whose disk fails sometimes."""

    failures_to_come = 0

    async def load(self) -> Tokens | None:
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise OSError("The disk does not answer.")
        return await super().load()


async def test_what_the_store_raises_may_pass(
    alice: Person, session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreadable(Tokens(alice.phone.token, alice.phone.refresh_token))
    async with (
        NanobananaClient(alice.phone.server.url, store=store) as client,
        listening(client, session_id) as device,
    ):
        await device.hears("connected")
        store.failures_to_come = 2
        message = await alice.make_message(session_id, "long " * 2000)
        await alice.make_message(session_id, "after it")
        await device.until(lambda: device.texts == [message["text"], "after it"])
        assert device.all("resynced") == []
        store.failures_to_come = 1  # at a call for a ticket
        assert device.sync._socket
        await device.sync._socket.close()
        await device.hears("connected", 2)
    assert "The disk does not answer." in caplog.text


async def test_an_object_that_cannot_be_had_at_all_is_a_resync(
    laptop: NanobananaClient, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: str) -> None:
        raise ApiError(403, "forbidden", "Not for you.")

    async with listening(laptop, session_id) as device:
        await device.hears("connected")
        monkeypatch.setattr(laptop.messages, "get", refuse)
        await laptop.messages.create(session_id, text="long " * 2000)
        await device.hears("resynced")
        await laptop.messages.create(session_id, text="after it")
        await device.until(lambda: device.texts == ["after it"])
