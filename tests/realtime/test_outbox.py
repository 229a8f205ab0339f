"""The bounded queue of one socket."""

import asyncio

from realtime.close_codes import CloseCode
from realtime.frames import Frame, encode
from realtime.outbox import BYTES_WAITING, Outbox
from tests.realtime.conftest import Wire

LARGE = Frame(b"x" * (BYTES_WAITING // 4))


async def settle() -> None:
    """Let every task that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_frames_are_written_in_order() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    for number in range(10):
        outbox.put(encode({"number": number}))
    assert [frame["number"] for frame in await wire.has(10)] == list(range(10))


async def test_an_idle_outbox_has_no_task() -> None:
    tasks = asyncio.all_tasks()
    wire = Wire()
    outbox = Outbox(wire)
    outbox.put(encode({}))
    assert len(asyncio.all_tasks() - tasks) == 1
    await wire.has(1)
    await settle()
    assert asyncio.all_tasks() - tasks == set()


async def test_putting_never_waits_for_a_slow_reader() -> None:
    wire = Wire()
    wire.block()
    outbox = Outbox(wire)
    outbox.go_live()
    for _ in range(3):
        outbox.put(LARGE)
        await settle()
    assert not outbox.is_closed
    assert wire.sent == []


async def test_a_full_outbox_is_closed_and_emptied() -> None:
    wire = Wire()
    wire.block()
    outbox = Outbox(wire)
    outbox.go_live()
    for _ in range(5):
        outbox.put(LARGE)
    assert outbox.is_closed
    wire.is_open.set()
    await outbox.wait_closed()
    assert wire.sent == [{"type": "websocket.close", "code": CloseCode.TOO_SLOW}]


async def test_what_is_read_again_does_not_count() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    outbox.go_live()
    for _ in range(20):
        outbox.put(LARGE)
        await settle()
    assert not outbox.is_closed
    assert len(wire.sent) == 20


async def test_what_a_returning_device_missed_may_be_more() -> None:
    wire = Wire()
    wire.block()
    outbox = Outbox(wire)
    for _ in range(20):
        outbox.put(LARGE)
    outbox.go_live()
    for _ in range(4):
        outbox.put(LARGE)
    assert not outbox.is_closed
    outbox.put(LARGE)
    assert outbox.is_closed
    outbox.drop()


async def test_a_closed_outbox_takes_no_more() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    outbox.close(CloseCode.UNAUTHORIZED)
    outbox.put(encode({}))
    outbox.close(CloseCode.TOO_SLOW)
    await outbox.wait_closed()
    await settle()
    assert wire.sent == [{"type": "websocket.close", "code": CloseCode.UNAUTHORIZED}]
