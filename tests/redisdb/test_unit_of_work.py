"""A unit of work is done whole or not at all, and one that changes nothing leaves no trace."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from nanobanana.redisdb.event_log import read_behind
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import events_key, log_key, owner_key
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, unit_of_work
from tests.redisdb.support import everything_stored, full_memory
from tests.redisdb.toys import Box, Sample, Shelf, StoredBox, Told, boxes_of, make, make_box, make_shelf

UNUSED = "unused-boxes"


@dataclass
class Stage:
    """A shelf with a box, as stored, and what somebody read before the box changed."""

    shelf: Shelf
    box: Box
    stale: Box


@pytest.fixture
async def stage(owner: str) -> Stage:
    shelf = await make_shelf(owner, title="shelf")
    box = await make_box(shelf, title="old")
    stale = await Box.objects.aget(owner, box.id)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, box, title="new")
    return Stage(shelf, box, stale)


def write_everything(work: UnitOfWork, stage: Stage) -> None:
    """One step of every kind that writes."""
    extra = Box(work.owner_id, new_id(), shelf_id=stage.shelf.id)
    Box.objects.create(work, extra)
    Box.objects.update(work, stage.box, note="written", rank=7)
    Box.objects.update(work, stage.box, note=None)
    Box.objects.add(work, stage.box, use_count=1)
    Shelf.objects.add(work, stage.shelf, box_count=1)
    with work.when(stage.shelf, "title", "shelf"):
        Shelf.objects.update(work, stage.shelf, title="was a shelf")
    work.write("expire", log_key(work.owner_id), 60_000)
    work.write("persist", log_key(work.owner_id))
    work.emit(Told(), stage.box, stage.shelf)


async def commit_everything(stage: Stage, spoil: Callable[[UnitOfWork, Stage], None]) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        write_everything(work, stage)
        spoil(work, stage)


def expect_a_missing_object(work: UnitOfWork, stage: Stage) -> None:
    work.expect_exists(Box(work.owner_id, new_id()))


def expect_a_missing_key(work: UnitOfWork, stage: Stage) -> None:
    work.expect_exists(owner_key(work.owner_id, "nothing"))


def expect_an_object_to_be_absent(work: UnitOfWork, stage: Stage) -> None:
    work.expect_absent(stage.box.key)


def expect_an_old_value(work: UnitOfWork, stage: Stage) -> None:
    work.expect_equal(stage.stale, "title")


def expect_a_value_where_there_is_none(work: UnitOfWork, stage: Stage) -> None:
    stage.stale.note = ""
    work.expect_equal(stage.stale, "note")


def expect_none_where_there_is_a_value(work: UnitOfWork, stage: Stage) -> None:
    sample = Sample(work.owner_id, stage.box.id, note=None)
    work.expect_equal(sample, "note")
    work.expect_exists(sample)


def expect_less_than_there_is(work: UnitOfWork, stage: Stage) -> None:
    work.expect_at_most(stage.shelf, "box_count", 0)
    work.expect_at_most(Shelf(work.owner_id, new_id()), "box_count", 0)
    work.expect_at_most(stage.shelf, "box_count", -1)


def create_what_exists(work: UnitOfWork, stage: Stage) -> None:
    Box.objects.create(work, Box(work.owner_id, stage.box.id, shelf_id=stage.shelf.id))


def update_what_is_gone(work: UnitOfWork, stage: Stage) -> None:
    Box.objects.update(work, Box(work.owner_id, new_id()), title="ghost")


def delete_what_is_gone(work: UnitOfWork, stage: Stage) -> None:
    Box.objects.delete(work, Box(work.owner_id, new_id(), shelf_id=stage.shelf.id))


def rename_what_is_gone(work: UnitOfWork, stage: Stage) -> None:
    identifier = new_id()
    work.rename(Box(work.owner_id, identifier).key, StoredBox(work.owner_id, identifier).key)


def count_below_zero(work: UnitOfWork, stage: Stage) -> None:
    Shelf.objects.add(work, stage.shelf, box_count=-2)


def count_below_zero_in_two_steps(work: UnitOfWork, stage: Stage) -> None:
    Box.objects.add(work, stage.box, use_count=-1)
    Box.objects.add(work, stage.box, use_count=-1)


@pytest.mark.parametrize(
    "spoil",
    [
        expect_a_missing_object,
        expect_a_missing_key,
        expect_an_object_to_be_absent,
        expect_an_old_value,
        expect_a_value_where_there_is_none,
        expect_none_where_there_is_a_value,
        expect_less_than_there_is,
        create_what_exists,
        update_what_is_gone,
        delete_what_is_gone,
        rename_what_is_gone,
        count_below_zero,
        count_below_zero_in_two_steps,
    ],
)
async def test_one_expectation_that_fails_leaves_every_key_untouched(
    stage: Stage, spoil: Callable[[UnitOfWork, Stage], None]
) -> None:
    before = await everything_stored()
    with pytest.raises(CommitRefused):
        await commit_everything(stage, spoil)
    assert await everything_stored() == before


async def test_without_a_failure_every_step_is_done(stage: Stage) -> None:
    await commit_everything(stage, lambda work, stage: None)
    owner_id, shelf, box = stage.shelf.owner_id, stage.shelf, stage.box
    assert (box.note, box.rank, box.use_count) == (None, 7, 1)
    assert (shelf.title, shelf.box_count) == ("was a shelf", 1)
    assert await Box.objects.acount(owner_id, boxes_of(shelf)) == 2
    assert (await read_behind(owner_id, None)).head.offset == 1


async def test_the_first_expectation_that_fails_says_which_error(stage: Stage) -> None:
    class Gone(Exception): ...

    class Moved(Exception): ...

    async def attempt() -> None:
        async with unit_of_work(stage.shelf.owner_id) as work:
            work.expect_exists(stage.shelf, Moved())
            work.expect_equal(stage.stale, "title", Gone())
            work.expect_equal(stage.stale, "title", Moved())
            work.expect_exists(Box(work.owner_id, new_id()), Moved())

    with pytest.raises(Gone):
        await attempt()


async def test_an_exception_inside_the_block_commits_nothing(stage: Stage) -> None:
    before = await everything_stored()

    async def attempt() -> None:
        async with unit_of_work(stage.shelf.owner_id) as work:
            write_everything(work, stage)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await attempt()
    assert await everything_stored() == before


async def test_a_key_of_another_owner_is_refused(stage: Stage) -> None:
    before = await everything_stored()
    for spoil in (
        lambda work: Box.objects.update(work, Box(new_id(), stage.box.id), title="mine now"),
        lambda work: work.write("delete", "nb:email:a@example.org"),
    ):
        with pytest.raises(ValueError, match="whose unit of work"):
            spoil(UnitOfWork(stage.shelf.owner_id))
    assert await everything_stored() == before


# ---- keys that hold something else
def keys_of(stage: Stage) -> dict[str, str]:
    owner_id = stage.shelf.owner_id
    return {
        "object": stage.box.key,
        "index": owner_key(owner_id, boxes_of(stage.shelf)),
        "zero index": owner_key(owner_id, UNUSED),
        "log": log_key(owner_id),
        "events": events_key(owner_id),
        "operation": owner_key(owner_id, "operation", "client:once"),
    }


GARBAGE = [
    (place, garbage)
    for place in ("object", "index", "zero index", "log", "events", "operation")
    for garbage in ("string", "list", "set", "hash")
    if (place, garbage) not in {("object", "hash"), ("log", "hash"), ("operation", "string")}
]


@pytest.mark.parametrize(("place", "garbage"), GARBAGE)
async def test_a_key_of_the_wrong_type_stops_everything(
    stage: Stage, redis: Redis, place: str, garbage: str
) -> None:
    key = keys_of(stage)[place]
    await redis.unlink(key)
    await {
        "string": lambda: redis.set(key, "garbage"),
        "list": lambda: redis.rpush(key, "garbage"),
        "set": lambda: redis.sadd(key, "garbage"),
        "hash": lambda: redis.hset(key, "gar", "bage"),
    }[garbage]()
    before = await everything_stored()

    async def attempt() -> None:
        async with unit_of_work(stage.shelf.owner_id, Operation("once", "fingerprint")) as work:
            write_everything(work, stage)

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await attempt()
    assert await everything_stored() == before


async def test_garbage_is_not_renamed_and_then_written_to(stage: Stage, redis: Redis) -> None:
    await redis.set(stage.box.key, "garbage")
    before = await everything_stored()

    async def attempt() -> None:
        async with unit_of_work(stage.shelf.owner_id) as work:
            stored = StoredBox(work.owner_id, stage.box.id)
            work.rename(stage.box.key, stored.key)
            StoredBox.objects.update(work, stored, rank=1)

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await attempt()
    assert await everything_stored() == before


@pytest.mark.parametrize("offset", [None, "", "many"])
async def test_a_log_that_lost_its_place_is_begun_anew(
    stage: Stage, redis: Redis, offset: str | None
) -> None:
    owner_id = stage.shelf.owner_id
    async with unit_of_work(owner_id) as work:
        work.emit(Told())
    old = work.cursor
    await (
        redis.hset(log_key(owner_id), "offset", offset)
        if offset is not None
        else redis.hdel(log_key(owner_id), "offset")
    )
    async with unit_of_work(owner_id) as work:
        work.emit(Told())
    assert old is not None
    assert work.cursor is not None
    assert work.cursor.offset == 1
    assert work.cursor.epoch != old.epoch


# ---- memory
async def test_full_memory_refuses_the_whole_work(stage: Stage) -> None:
    before = await everything_stored()
    async with full_memory():
        with pytest.raises(ResponseError, match="maxmemory"):
            await commit_everything(stage, lambda work, stage: None)
    assert await everything_stored() == before


async def test_full_memory_refuses_the_first_work_of_an_owner(redis: Redis) -> None:
    async with full_memory():
        with pytest.raises(ResponseError, match="maxmemory"):
            await make_shelf(new_id())
    assert await redis.keys("nb:{*") == []


async def test_after_memory_was_full_the_same_work_is_done(stage: Stage) -> None:
    async with full_memory():
        with pytest.raises(ResponseError, match="maxmemory"):
            await commit_everything(stage, lambda work, stage: None)
    await commit_everything(stage, lambda work, stage: None)
    assert stage.shelf.box_count == 1


async def test_what_frees_memory_is_possible_when_it_is_full(stage: Stage) -> None:
    async with full_memory(), unit_of_work(stage.shelf.owner_id) as work:
        Box.objects.delete(work, stage.box)
        work.emit(Told(type="box_deleted"))
    assert work.changed
    assert await Box.objects.acount(stage.shelf.owner_id, boxes_of(stage.shelf)) == 0


# ---- conditions
@pytest.mark.parametrize(("title", "expected"), [("shelf", "first"), ("another", "shelf")])
async def test_what_depends_on_a_value_is_done_only_when_it_is_stored(
    stage: Stage, title: str, expected: str
) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        with work.when(stage.shelf, "title", title):
            Shelf.objects.update(work, stage.shelf, title="first")
        Shelf.objects.add(work, stage.shelf, box_count=1)
    assert (stage.shelf.title, stage.shelf.box_count) == (expected, 1)


@pytest.mark.parametrize(("note", "is_done"), [(None, True), ("", False), ("x", False)])
async def test_none_is_a_value_to_depend_on(stage: Stage, note: str | None, is_done: bool) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        with work.when(stage.box, "note", note):
            Box.objects.update(work, stage.box, rank=9)
    assert (stage.box.rank == 9) is is_done


async def test_a_condition_asks_for_the_value_before_the_work(stage: Stage) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        Shelf.objects.update(work, stage.shelf, title="changed")
        with work.when(stage.shelf, "title", "shelf"):
            Shelf.objects.add(work, stage.shelf, box_count=1)
        with work.when(stage.shelf, "title", "changed"):
            Shelf.objects.add(work, stage.shelf, box_count=10)
    assert stage.shelf.box_count == 1


@pytest.mark.parametrize(("outer", "inner", "count"), [(1, 1, 111), (1, 0, 101), (0, 1, 1), (0, 0, 1)])
async def test_conditions_nest(stage: Stage, outer: int, inner: int, count: int) -> None:
    answers = {1: "shelf", 0: "other"}
    async with unit_of_work(stage.shelf.owner_id) as work:
        with work.when(stage.shelf, "title", answers[outer]):
            with work.when(stage.shelf, "title", answers[inner]):
                Shelf.objects.add(work, stage.shelf, box_count=10)
            Shelf.objects.add(work, stage.shelf, box_count=100)
        Shelf.objects.add(work, stage.shelf, box_count=1)
    assert stage.shelf.box_count == count


async def test_a_count_that_is_not_to_happen_refuses_nothing(stage: Stage) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        with work.when(stage.shelf, "title", "other"):
            Shelf.objects.add(work, stage.shelf, box_count=-5)
        Shelf.objects.update(work, stage.shelf, title="fine")
    assert (stage.shelf.title, stage.shelf.box_count) == ("fine", 0)


# ---- nothing to do
@pytest.mark.parametrize(
    "changes",
    [{}, {"title": "new"}, {"note": None}, {"title": "new", "note": None, "rank": 0, "thing_ids": []}],
)
async def test_what_differs_in_nothing_writes_and_tells_nothing(stage: Stage, changes: dict) -> None:
    before = await everything_stored()
    async with unit_of_work(stage.shelf.owner_id) as work:
        Box.objects.update_if_different(work, stage.stale, changes)
        Box.objects.add(work, stage.stale, use_count=1)
        work.emit(Told(), stage.stale)
    assert not work.changed
    assert await everything_stored() == before
    assert stage.stale == stage.box, "and yet it is answered with what is stored"


@pytest.mark.parametrize("changes", [{"title": "newer"}, {"note": ""}, {"title": "new", "rank": 1}])
async def test_one_difference_is_enough(stage: Stage, changes: dict) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        Box.objects.update_if_different(work, stage.box, changes)
        work.emit(Told(), stage.box)
    assert work.changed
    assert work.cursor is not None
    assert work.cursor.offset == 1
    assert {name: getattr(stage.box, name) for name in changes} == changes


async def test_setting_none_where_there_is_a_value_is_a_difference(stage: Stage) -> None:
    for note, changed in (("heavy", True), (None, True), (None, False)):
        async with unit_of_work(stage.shelf.owner_id) as work:
            Box.objects.update_if_different(work, stage.box, {"note": note})
        assert work.changed is changed


@pytest.mark.parametrize(("title", "shelf_title"), [("newer", "shelf"), ("new", "shelves")])
async def test_of_two_objects_one_that_differs_is_enough(stage: Stage, title: str, shelf_title: str) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        Box.objects.update_if_different(work, stage.box, {"title": title})
        Shelf.objects.update_if_different(work, stage.shelf, {"title": shelf_title})
    assert work.changed
    assert (stage.box.title, stage.shelf.title) == (title, shelf_title)


async def test_what_is_gone_is_refused_even_if_nothing_would_differ(stage: Stage) -> None:
    async def attempt() -> None:
        async with unit_of_work(stage.shelf.owner_id) as work:
            Box.objects.update_if_different(work, Box(work.owner_id, new_id()), {"note": None})

    with pytest.raises(CommitRefused, match="does not exist"):
        await attempt()


# ---- what the caller learns
async def test_the_instance_holds_what_is_stored_afterwards(stage: Stage) -> None:
    handle = Box.handle(stage.shelf.owner_id, stage.box.id)
    async with unit_of_work(stage.shelf.owner_id) as work:
        Box.objects.update(work, handle, note="heavy")
    assert handle.is_loaded
    assert (handle.title, handle.note) == ("new", "heavy")


async def test_an_object_can_be_refreshed_without_a_change(stage: Stage) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        work.refresh(stage.stale)
    assert stage.stale.title == "new"


async def test_an_object_that_is_gone_afterwards_keeps_what_its_instance_held(stage: Stage) -> None:
    async with unit_of_work(stage.shelf.owner_id) as work:
        Box.objects.update(work, stage.box, note="the last word")
        Box.objects.delete(work, stage.box)
    assert (stage.box.title, stage.box.note) == ("new", None)


async def test_a_value_as_long_as_a_megabyte_is_one_commit(owner: str) -> None:
    sample = await make(Sample(owner, new_id(), text="x" * 1024 * 1024))
    async with unit_of_work(owner) as work:
        Sample.objects.update(work, sample, text="y" * 1024 * 1024)
        work.emit(Told(), sample)
    assert sample.text == "y" * 1024 * 1024
