"""A plain read and a plain write cost one round trip each; counted on the wire, whatever the client does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nanobanana.redisdb.event_log import read_behind
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.support import speaking_to
from tests.redisdb.toys import Box, Shelf, Thing, Told, boxes_of, make, make_box, make_shelf
from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.redis_server import RunningRedis


@pytest.fixture
async def wire(redis_server: RunningRedis, tmp_path: Path) -> AsyncIterator[LossyProxy]:
    """What passes between the layer and Redis."""
    async with lossy_proxy(tmp_path, redis_server.socket_path) as proxy, speaking_to(proxy.url):
        yield proxy


@pytest.fixture
async def shelf(owner: str, wire: LossyProxy) -> Shelf:
    """A shelf with thirty boxes of two things each; connected, and the scripts known."""
    shelf = await make_shelf(owner)
    thing_ids = [(await make(Thing(owner, new_id()))).id for _ in range(2)]
    for rank in range(30):
        await make_box(shelf, rank=rank, thing_ids=thing_ids)
    await read_everything(shelf)
    return shelf


async def read_everything(shelf: Shelf) -> None:
    for read in READS.values():
        await read(shelf)


READS: dict[str, Callable[[Shelf], Awaitable[Any]]] = {
    "one": lambda shelf: Shelf.objects.aget(shelf.owner_id, shelf.id),
    "many": lambda shelf: Shelf.objects.aget_many(shelf.owner_id, [shelf.id] * 100),
    "page": lambda shelf: Box.objects.apage(
        shelf.owner_id, boxes_of(shelf), Window(20), required=shelf, related=["thing_ids", "shelf_id"]
    ),
    "page behind a cursor": lambda shelf: Box.objects.apage(
        shelf.owner_id, boxes_of(shelf), Window(20, behind=("3", new_id()))
    ),
    "count": lambda shelf: Box.objects.acount(shelf.owner_id, boxes_of(shelf)),
    "ids": lambda shelf: Box.objects.ids(shelf.owner_id, boxes_of(shelf), first=0, limit=30),
    "log": lambda shelf: read_behind(shelf.owner_id, None),
}


async def round_trips(wire: LossyProxy, act: Callable[[], Awaitable[Any]]) -> int:
    """The least of three tries: a server of this process may ask something at the same time."""
    found: list[int] = []
    for _ in range(3):
        before = wire.requests
        await act()
        found.append(wire.requests - before)
    return min(found)


@pytest.mark.parametrize("name", READS)
async def test_a_read_is_one_round_trip(shelf: Shelf, wire: LossyProxy, name: str) -> None:
    assert await round_trips(wire, lambda: READS[name](shelf)) == 1


async def test_a_commit_is_one_round_trip_however_much_it_does(shelf: Shelf, wire: LossyProxy) -> None:
    async def fill() -> None:
        async with unit_of_work(shelf.owner_id) as work:
            for rank in range(5):
                box = Box(shelf.owner_id, new_id(), shelf_id=shelf.id, rank=rank)
                Box.objects.create(work, box)
                work.emit(Told(), box)
            Shelf.objects.update_if_different(work, shelf, {"title": f"full {rank}"})
            Shelf.objects.add(work, shelf, box_count=5)

    assert await round_trips(wire, fill) == 1


async def test_planning_a_work_sends_nothing(shelf: Shelf, wire: LossyProxy) -> None:
    async def attempt() -> None:
        async with unit_of_work(shelf.owner_id) as work:
            Shelf.objects.update(work, shelf, title="never")
            work.emit(Told(), shelf)
            raise InterruptedError

    async def fail() -> None:
        with pytest.raises(InterruptedError):
            await attempt()

    assert await round_trips(wire, fail) == 0
