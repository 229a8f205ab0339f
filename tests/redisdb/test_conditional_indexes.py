"""Indexes that list objects under conditions, several times, or some of them first."""

from datetime import UTC, datetime

import pytest

from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Room, make

EARLY, LATE = datetime(2025, 1, 27, tzinfo=UTC), datetime(2026, 1, 27, tzinfo=UTC)


async def make_room(owner: str, **values: object) -> Room:
    return await make(Room(owner, new_id(), **values))


async def update(room: Room, **changes: object) -> None:
    async with unit_of_work(room.owner_id) as work:
        Room.objects.update(work, room, **changes)


async def listed(owner: str, index: str = "rooms") -> list[int]:
    page = await Room.objects.apage(owner, index, Window(100, descending=True))
    assert page.vanished == 0
    return [room.floor for room in page.objects]


async def test_an_object_is_listed_where_its_condition_holds(owner: str) -> None:
    await make_room(owner, floor=1)
    room = await make_room(owner, floor=2, closed=True)
    assert (await listed(owner), await listed(owner, "closed-rooms")) == ([1], [2])
    await update(room, closed=False)
    assert (await listed(owner), await listed(owner, "closed-rooms")) == ([2, 1], [])


async def test_a_new_score_does_not_bring_an_object_into_a_list_it_is_not_in(owner: str) -> None:
    await make_room(owner, floor=1, used_at=5)
    room = await make_room(owner, floor=2, closed=True)
    await make_room(owner, floor=3, used_at=7, closed=True)
    await update(Room.handle(owner, room.id), used_at=9)
    assert (await listed(owner), await listed(owner, "closed-rooms")) == ([1], [2, 3])


async def test_what_leads_stays_first_whatever_its_score_becomes(owner: str) -> None:
    first = await make_room(owner, floor=1, pinned_at=LATE)
    second = await make_room(owner, floor=2, pinned_at=EARLY)
    third = await make_room(owner, floor=3, used_at=1)
    assert await listed(owner) == [1, 2, 3]
    for room in (second, third, first):
        await update(Room.handle(owner, room.id), used_at=100)
    assert await listed(owner) == [1, 2, 3]
    assert (await Room.objects.aget(owner, second.id)).used_at == 100


async def test_what_no_longer_leads_is_sorted_by_its_score_again(owner: str) -> None:
    room = await make_room(owner, floor=1, pinned_at=LATE, used_at=1)
    await make_room(owner, floor=2, used_at=2)
    await update(room, pinned_at=None)
    assert await listed(owner) == [2, 1]
    await update(room, pinned_at=EARLY, used_at=0)
    assert await listed(owner) == [1, 2]


async def test_an_object_stands_under_each_of_its_values(owner: str) -> None:
    room = await make_room(owner, floor=1, tags=["red", "blue", "red"])
    assert [await listed(owner, f"room-tag:{tag}") for tag in ("red", "blue", "green")] == [[1], [1], []]
    await update(room, tags=["green", "blue"])
    assert [await listed(owner, f"room-tag:{tag}") for tag in ("red", "blue", "green")] == [[], [1], [1]]
    await update(room, floor=5)
    assert await listed(owner, "room-tag:green") == [5]


async def test_a_deleted_object_leaves_all_of_them(owner: str) -> None:
    room = await make_room(owner, tags=["red", "{blue}:*"], closed=True, pinned_at=LATE)
    async with unit_of_work(owner) as work:
        Room.objects.delete(work, room)
    for index in ("rooms", "closed-rooms", "room-tag:red", "room-tag:{blue}:*"):
        assert await Room.objects.acount(owner, index) == 0


@pytest.mark.parametrize(
    ("changes", "stale_changes"), [({"closed": True}, {"closed": False}), ({"tags": ["red"]}, {"tags": []})]
)
async def test_who_did_not_see_the_last_move_moves_nothing(
    owner: str, changes: dict[str, object], stale_changes: dict[str, object]
) -> None:
    room = await make_room(owner, tags=["blue"])
    stale = await Room.objects.aget(owner, room.id)
    await update(room, **changes)
    with pytest.raises(CommitRefused):
        await update(stale, **stale_changes)


async def test_besides_counts_as_no_difference(owner: str) -> None:
    room = await make_room(owner, floor=1, used_at=1)
    for floor, used_at in ((1, 1), (2, 9)):
        async with unit_of_work(owner) as work:
            Room.objects.update_if_different(work, room, {"floor": floor}, used_at=9)
        assert ((await Room.objects.aget(owner, room.id)).used_at, work.changed) == (used_at, floor == 2)


# ---- what stands in several
async def test_entries_in_all_are_those_that_every_index_lists(owner: str) -> None:
    both = [await make_room(owner, tags=["red", "blue"], used_at=number) for number in range(3)]
    await make_room(owner, tags=["red"])
    closed = await make_room(owner, tags=["red", "blue"], closed=True)
    found = await Room.objects.entries_in_all(owner, "rooms", ["room-tag:red", "room-tag:blue"])
    assert found == [(number, both[number].id) for number in (2, 1, 0)]
    found = await Room.objects.entries_in_all(owner, "closed-rooms", ["room-tag:red"])
    assert found == [(0, closed.id)]
    assert await Room.objects.entries_in_all(owner, "rooms", ["room-tag:green"]) == []
    assert len(await Room.objects.entries_in_all(owner, "rooms", [])) == 4


async def test_there_may_be_many_of_them(owner: str) -> None:
    async with unit_of_work(owner) as work:
        for number in range(2500):
            Room.objects.create(work, Room(owner, new_id(), used_at=number, tags=["even"][: number % 2 == 0]))
    found = await Room.objects.entries_in_all(owner, "rooms", ["room-tag:even"])
    assert [score for score, _ in found] == list(range(2498, -1, -2))
