"""Objects and their index entries: written together, moved together, gone together."""

import pytest
from redis.asyncio import Redis

from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist, FieldError
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Window, from_related
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.support import everything_stored
from tests.redisdb.toys import Box, Sample, Shelf, StoredBox, Thing, boxes_of, make, make_box, make_shelf

UNUSED = "unused-boxes"


async def titles_on(shelf: Shelf) -> list[str]:
    page = await Box.objects.apage(shelf.owner_id, boxes_of(shelf), Window(100))
    assert page.vanished == 0
    return [box.title for box in page.objects]


# ---- the three bugs of every naive hash manager
async def test_a_field_set_to_none_is_none_when_read_again(owner: str, redis: Redis) -> None:
    box = await make_box(await make_shelf(owner), note="fragile")
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, note=None)
    assert box.note is None
    assert (await Box.objects.aget(owner, box.id)).note is None
    assert not await redis.hexists(box.key, "note")


async def test_an_object_that_moves_leaves_its_old_index(owner: str) -> None:
    old, new = await make_shelf(owner), await make_shelf(owner)
    box = await make_box(old, title="moving")
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, shelf_id=new.id)
    assert (await titles_on(old), await titles_on(new)) == ([], ["moving"])


async def test_two_who_change_different_fields_both_keep_their_change(owner: str) -> None:
    box = await make_box(await make_shelf(owner), title="old", rank=1)
    mine, yours = await Box.objects.aget(owner, box.id), await Box.objects.aget(owner, box.id)
    for seen, changes in ((mine, {"title": "new"}), (yours, {"note": "heavy"})):
        async with unit_of_work(owner) as work:
            Box.objects.update(work, seen, **changes)
    read = await Box.objects.aget(owner, box.id)
    assert (read.title, read.note, read.rank) == ("new", "heavy", 1)
    assert yours == read, "who writes last learns what the other wrote"


# ---- indexes
async def test_a_changed_score_moves_the_entry(owner: str) -> None:
    shelf = await make_shelf(owner)
    first, _ = await make_box(shelf, title="a", rank=1), await make_box(shelf, title="b", rank=2)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, first, rank=3)
    assert await titles_on(shelf) == ["b", "a"]


async def test_an_object_can_move_and_change_its_rank_at_once(owner: str) -> None:
    old, new = await make_shelf(owner), await make_shelf(owner)
    box = await make_box(old, title="moving", rank=1)
    await make_box(new, title="there", rank=5)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, shelf_id=new.id, rank=9)
    assert (await titles_on(old), await titles_on(new)) == ([], ["there", "moving"])


async def test_moving_to_where_it_is_changes_nothing(owner: str) -> None:
    shelf = await make_shelf(owner)
    box = await make_box(shelf, title="here")
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, shelf_id=shelf.id)
    assert await titles_on(shelf) == ["here"]


@pytest.mark.parametrize("changes", [{"shelf_id": new_id()}, {"rank": 7}])
async def test_who_read_before_it_moved_cannot_write_to_the_wrong_index(owner: str, changes: dict) -> None:
    old, new = await make_shelf(owner), await make_shelf(owner)
    box = await make_box(old, title="box")
    stale = await Box.objects.aget(owner, box.id)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, shelf_id=new.id)
    before = await everything_stored()
    with pytest.raises(CommitRefused, match="shelf_id changed"):
        async with unit_of_work(owner) as work:
            Box.objects.update(work, stale, **changes)
    assert await everything_stored() == before


async def test_who_read_an_old_score_cannot_carry_it_to_another_index(owner: str) -> None:
    old, new = await make_shelf(owner), await make_shelf(owner)
    box = await make_box(old, rank=1)
    stale = await Box.objects.aget(owner, box.id)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, rank=2)
    with pytest.raises(CommitRefused, match="rank changed"):
        async with unit_of_work(owner) as work:
            Box.objects.update(work, stale, shelf_id=new.id)
    assert await titles_on(old) == [""]


async def test_moving_what_was_not_read_is_a_mistake_that_is_named(owner: str) -> None:
    shelf = await make_shelf(owner)
    box = await make_box(shelf)
    with pytest.raises(AttributeError, match=r"Box\.shelf_id is not loaded"):
        async with unit_of_work(owner) as work:
            Box.objects.update(work, Box.handle(owner, box.id), shelf_id=new_id())


async def test_a_score_that_cannot_be_sorted_by_is_refused(owner: str, redis: Redis) -> None:
    with pytest.raises(FieldError, match="sorts by rank"):
        Box.indexes[0].score_in({"rank": None})
    with pytest.raises(FieldError, match="sorts by rank"):
        Box.indexes[0].score_in({"rank": "7"})
    assert await redis.keys("nb:{*") == []


# ---- creating, reading, deleting
async def test_a_new_object_is_complete_with_its_defaults(owner: str) -> None:
    shelf = await make_shelf(owner)
    box = Box(owner, new_id(), shelf_id=shelf.id)
    assert not box.is_loaded
    async with unit_of_work(owner) as work:
        Box.objects.create(work, box)
    assert box.is_loaded
    assert box == await Box.objects.aget(owner, box.id)


async def test_an_id_is_given_once(owner: str) -> None:
    box = await make_box(await make_shelf(owner), title="first")
    with pytest.raises(CommitRefused, match="exists"):
        await make(Box(owner, box.id, shelf_id=box.shelf_id, title="second"))
    assert (await Box.objects.aget(owner, box.id)).title == "first"


async def test_what_is_absent_or_anothers_does_not_exist(owner: str) -> None:
    box = await make_box(await make_shelf(owner))
    for owner_id, identifier in ((owner, new_id()), (new_id(), box.id)):
        with pytest.raises(DoesNotExist):
            await Box.objects.aget(owner_id, identifier)


@pytest.mark.parametrize(
    "identifier", ["", "*", "x" * 26, "../box", "01ARZ3NDEKTSV4RRFFQ69G5FA}", "1\n", None, 7, ["a"]]
)
async def test_what_is_no_id_names_no_key(owner: str, identifier: object) -> None:
    for read in (Box.objects.aget, Box.handle):
        with pytest.raises(DoesNotExist):
            await read(owner, identifier)  # type: ignore[arg-type, misc]
        with pytest.raises(DoesNotExist):
            await read(identifier, new_id())  # type: ignore[arg-type, misc]


async def test_a_key_of_another_kind_cannot_be_addressed(owner: str, redis: Redis) -> None:
    await redis.hset(owner_key(owner, "box", "secret"), "title", "not for you")
    with pytest.raises(DoesNotExist):
        await Box.objects.aget(owner, "secret")


async def test_many_are_read_in_their_order_without_those_that_are_gone(owner: str) -> None:
    shelf = await make_shelf(owner)
    boxes = [await make_box(shelf, title=title) for title in "abc"]
    ids = [boxes[2].id, new_id(), boxes[0].id, boxes[2].id]
    page = await Box.objects.aget_many(owner, ids)
    assert [box.title for box in page.objects] == ["c", "a", "c"]
    assert page.vanished == 1


async def test_very_many_are_read_at_once(owner: str) -> None:
    box = await make_box(await make_shelf(owner))
    page = await Box.objects.aget_many(owner, [box.id] * 20_000)
    assert len(page.objects) == 20_000


async def test_what_an_object_needs_can_be_required_with_it(owner: str) -> None:
    shelf = await make_shelf(owner)
    box = await make_box(shelf)
    assert await Box.objects.aget(owner, box.id, required=shelf) == box
    assert await Box.objects.aget(owner, box.id, required=shelf.key) == box
    with pytest.raises(DoesNotExist):
        await Box.objects.aget(owner, box.id, required=Shelf(owner, new_id()))


async def test_a_deleted_object_leaves_nothing_behind(owner: str) -> None:
    shelf = await make_shelf(owner)
    before = await everything_stored()
    box = await make_box(shelf)
    async with unit_of_work(owner) as work:
        Box.objects.delete(work, box)
    gone = await everything_stored()
    assert {key for key in gone if ":operation:" not in key} == {
        key for key in before if ":operation:" not in key
    }
    with pytest.raises(DoesNotExist):
        await Box.objects.aget(owner, box.id)


async def test_only_one_deletes(owner: str) -> None:
    box = await make_box(await make_shelf(owner))
    twin = await Box.objects.aget(owner, box.id)
    async with unit_of_work(owner) as work:
        Box.objects.delete(work, box)
    with pytest.raises(CommitRefused, match="does not exist"):
        async with unit_of_work(owner) as work:
            Box.objects.delete(work, twin)


async def test_who_deletes_a_box_that_moved_is_refused(owner: str) -> None:
    old, new = await make_shelf(owner), await make_shelf(owner)
    box = await make_box(old)
    stale = await Box.objects.aget(owner, box.id)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, shelf_id=new.id)
    with pytest.raises(CommitRefused, match="shelf_id changed"):
        async with unit_of_work(owner) as work:
            Box.objects.delete(work, stale)
    assert await titles_on(new) == [""]


async def test_what_is_left_of_an_object_can_be_removed_again_and_again(owner: str, redis: Redis) -> None:
    shelf = await make_shelf(owner)
    box = await make_box(shelf)
    await redis.unlink(box.key)
    for _ in range(2):
        async with unit_of_work(owner) as work:
            Box.objects.discard(work, box)
    assert await Box.objects.acount(owner, boxes_of(shelf)) == 0
    assert await Box.objects.acount(owner, UNUSED) == 0


async def test_ids_are_removed_with_their_entries(owner: str) -> None:
    shelf = await make_shelf(owner)
    boxes = [await make_box(shelf, rank=rank) for rank in range(3)]
    async with unit_of_work(owner) as work:
        Box.objects.remove_ids(work, boxes_of(shelf), [boxes[0].id, boxes[1].id, new_id()])
    assert await Box.objects.ids(owner, boxes_of(shelf), first=0, limit=10) == [boxes[2].id]
    assert [box.id for box in (await Box.objects.aget_many(owner, [b.id for b in boxes])).objects] == [
        boxes[2].id
    ]
    assert await Box.objects.acount(owner, boxes_of(shelf)) == 1


async def test_ids_are_listed_from_the_lowest_score(owner: str) -> None:
    shelf = await make_shelf(owner)
    boxes = [await make_box(shelf, rank=rank) for rank in (30, 10, 20)]
    by_rank = [boxes[1].id, boxes[2].id, boxes[0].id]
    index = boxes_of(shelf)
    assert await Box.objects.ids(owner, index, first=0, limit=10) == by_rank
    assert await Box.objects.ids(owner, index, first=1, limit=1) == by_rank[1:2]
    assert await Box.objects.ids_up_to(owner, index, score=20, limit=10) == by_rank[:2]
    assert await Box.objects.ids_up_to(owner, index, score=20, limit=1) == by_rank[:1]
    assert await Box.objects.ids_up_to(owner, index, score=9, limit=10) == []


# ---- counters
async def count_boxes(shelf: Shelf, differences: list[int]) -> None:
    async with unit_of_work(shelf.owner_id) as work:
        Shelf.objects.update(work, shelf, title="counted")
        for by in differences:
            Shelf.objects.add(work, shelf, box_count=by)


async def test_counters_add_up(owner: str) -> None:
    shelf = await make_shelf(owner)
    for differences in ([3], [-1], [0], [4, -4]):
        await count_boxes(shelf, differences)
    assert shelf.box_count == 2
    assert (await Shelf.objects.aget(owner, shelf.id)).box_count == 2


@pytest.mark.parametrize("differences", [[-3], [-1, -2], [5, -8], [-3, 5]])
async def test_a_counter_never_falls_below_zero(owner: str, differences: list[int]) -> None:
    shelf = await make_shelf(owner, box_count=2)
    before = await everything_stored()
    with pytest.raises(CommitRefused, match="whole number from 0"):
        await count_boxes(shelf, differences)
    assert await everything_stored() == before


@pytest.mark.parametrize("stored", ["1.5", "0x10", "many", "", " 1", "-1", "007", str(2**53), str(2**63)])
async def test_what_is_no_count_is_not_counted_on(owner: str, redis: Redis, stored: str) -> None:
    shelf = await make_shelf(owner)
    await redis.hset(shelf.key, "box_count", stored)
    before = await everything_stored()
    with pytest.raises(CommitRefused, match="whole number from 0"):
        await count_boxes(shelf, [1])
    assert await everything_stored() == before


async def test_a_counter_is_not_set(owner: str) -> None:
    shelf = await make_shelf(owner)
    with pytest.raises(FieldError, match="box_count is a counter"):
        async with unit_of_work(owner) as work:
            Shelf.objects.update(work, shelf, box_count=5)
    with pytest.raises(FieldError, match="whole number"):
        async with unit_of_work(owner) as work:
            Shelf.objects.add(work, shelf, box_count=0.5)  # type: ignore[arg-type]


async def test_the_zero_index_follows_the_counter(owner: str) -> None:
    box = await make_box(await make_shelf(owner))
    listed = [await Box.objects.ids(owner, UNUSED, first=0, limit=9)]
    for by in (1, 1, -1, -1):
        async with unit_of_work(owner) as work:
            Box.objects.add(work, box, use_count=by)
        listed.append(await Box.objects.ids(owner, UNUSED, first=0, limit=9))
    assert listed == [[box.id], [], [], [], [box.id]]


async def test_an_object_made_in_use_is_not_in_the_zero_index(owner: str) -> None:
    shelf = await make_shelf(owner)
    box = await make_box(shelf, use_count=1)
    assert box.use_count == 1
    assert await Box.objects.acount(owner, UNUSED) == 0


async def test_the_zero_index_is_left_at_deletion(owner: str) -> None:
    box = await make_box(await make_shelf(owner))
    async with unit_of_work(owner) as work:
        Box.objects.delete(work, box)
    assert await Box.objects.acount(owner, UNUSED) == 0


# ---- renaming
async def store_box(box: Box, stored: StoredBox, *, other: Shelf) -> None:
    async with unit_of_work(box.owner_id) as work:
        Shelf.objects.update(work, other, title="never")
        work.rename(box.key, stored.key)


async def test_a_renamed_object_is_the_same_under_another_kind(owner: str) -> None:
    shelf = await make_shelf(owner)
    box = await make_box(shelf, title="old", rank=3)
    stored = StoredBox(owner, box.id)
    async with unit_of_work(owner) as work:
        work.rename(box.key, stored.key)
        Box.objects.unindex(work, box)
        StoredBox.objects.update(work, stored, note="put away", rank=4)
    assert (stored.title, stored.note, stored.rank) == ("old", "put away", 4)
    assert await titles_on(shelf) == []
    assert [box.id for box in (await StoredBox.objects.apage(owner, "stored-boxes", Window(9))).objects] == [
        box.id
    ]
    with pytest.raises(DoesNotExist):
        await Box.objects.aget(owner, box.id)


async def test_what_is_absent_cannot_be_renamed(owner: str) -> None:
    shelf = await make_shelf(owner)
    before = await everything_stored()
    box = Box(owner, new_id())
    with pytest.raises(CommitRefused, match="does not exist"):
        await store_box(box, StoredBox(owner, box.id), other=shelf)
    assert await everything_stored() == before


# ---- size
async def test_an_object_of_five_thousand_fields_is_written_checked_and_removed(owner: str) -> None:
    fields = {f"field_{number}": f"value {number}" for number in range(5000)}
    sample = await make(Sample(owner, new_id()))
    pairs = [part for pair in fields.items() for part in pair]
    async with unit_of_work(owner) as work:
        work.expect_difference(sample.key, pairs, [])
        work.write("set", sample.key, *pairs)
    assert work.changed
    async with unit_of_work(owner) as work:
        work.expect_difference(sample.key, pairs, ["field_5000"])
        work.write("delete", sample.key)
    assert not work.changed, "all five thousand were there"
    async with unit_of_work(owner) as work:
        work.write("unset", sample.key, *fields)
    assert await Sample.objects.aget(owner, sample.id) == sample


async def test_five_thousand_entries_leave_an_index_at_once(owner: str, redis: Redis) -> None:
    index = owner_key(owner, "crowd")
    members = [str(number) for number in range(5000)]
    await redis.zadd(index, dict.fromkeys(members, 0))
    async with unit_of_work(owner) as work:
        work.write("unindex", index, *members)
    assert not await redis.exists(index)


async def test_related_objects_are_picked_in_the_order_of_their_ids(owner: str) -> None:
    things = [await make(Thing(owner, new_id(), name=name)) for name in "ab"]
    box = await make_box(await make_shelf(owner), thing_ids=[things[1].id, new_id(), things[0].id])
    box, related = await Box.objects.aget_with_related(owner, box.id, related=["thing_ids", "shelf_id"])
    assert [thing.name for thing in from_related(Thing, owner, box.thing_ids, related)] == ["b", "a"]
    assert [shelf.id for shelf in from_related(Shelf, owner, [box.shelf_id], related)] == [box.shelf_id]
