"""The log of an owner: every change once, in order, numbered without a gap, and honest about what is gone."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from nanobanana.redisdb.event_log import (
    BYTES_CARRIED,
    EVENTS_IN_A_BELL,
    EVENTS_KEPT,
    Cursor,
    LogEntry,
    read_behind,
    read_bell,
)
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import doorbell_channel, events_key, log_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Box, Sample, Shelf, Told, make, make_box, make_shelf

WRITERS = 20
NODE = 100  # entries of one node of a stream: a trimmed one can hold so many more


async def tell(owner: str, times: int = 1) -> Cursor:
    async with unit_of_work(owner) as work:
        for number in range(times):
            work.emit(Told(ids={"number": str(number)}))
    assert work.cursor is not None
    return work.cursor


async def all_entries(owner: str) -> list[LogEntry]:
    head = (await read_behind(owner, None)).head
    return (await read_behind(owner, Cursor(head.epoch, 0))).entries


# ---- writing
async def test_an_entry_says_what_happened_and_when(owner: str) -> None:
    shelf = await make_shelf(owner)
    async with unit_of_work(owner) as work:
        Shelf.objects.update(work, shelf, title="漢字 👍")
        work.emit(Told("shelf_updated", "the audience", {"shelfId": shelf.id}), shelf)
    [entry] = await all_entries(owner)
    assert (entry.type, entry.audience, entry.ids) == ("shelf_updated", "the audience", {"shelfId": shelf.id})
    assert entry.cursor == work.cursor
    assert not entry.partial
    [(key, pairs)] = entry.objects
    assert key == shelf.key
    assert Shelf.from_hash(owner, shelf.id, pairs) == shelf
    moment = datetime.fromtimestamp(entry.milliseconds / 1000, UTC)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


async def test_events_of_one_work_follow_each_other(owner: str) -> None:
    assert (await tell(owner, 3)).offset == 3
    assert [entry.ids["number"] for entry in await all_entries(owner)] == ["0", "1", "2"]


async def test_several_objects_are_carried_each_as_it_is(owner: str) -> None:
    shelf = await make_shelf(owner)
    box, gone = await make_box(shelf, title="a"), Box(owner, new_id())
    async with unit_of_work(owner) as work:
        work.emit(Told(), box, gone, shelf)
    [entry] = await all_entries(owner)
    assert [key for key, _ in entry.objects] == [box.key, gone.key, shelf.key]
    assert Box.from_hash(owner, box.id, entry.objects[0][1]) == box
    assert entry.objects[1][1] == []


async def test_bytes_of_any_kind_are_carried(owner: str) -> None:
    sample = await make(Sample(owner, new_id(), blob=bytes(range(256)), text="@", note=""))
    async with unit_of_work(owner) as work:
        work.emit(Told(), sample)
    [entry] = await all_entries(owner)
    assert Sample.from_hash(owner, sample.id, entry.objects[0][1]) == sample


@pytest.mark.parametrize(
    ("length", "partial"), [(BYTES_CARRIED - 1000, False), (BYTES_CARRIED, True), (10**6, True)]
)
async def test_what_is_too_large_is_left_to_be_fetched(owner: str, length: int, partial: bool) -> None:
    sample = await make(Sample(owner, new_id(), text="x" * length))
    async with unit_of_work(owner) as work:
        work.emit(Told(ids={"sampleId": sample.id}), sample)
    [entry] = await all_entries(owner)
    assert (entry.partial, bool(entry.objects)) == (partial, not partial)
    assert entry.ids == {"sampleId": sample.id}


async def test_an_object_of_very_many_small_fields_is_left_to_be_fetched(owner: str, redis: Redis) -> None:
    sample = await make(Sample(owner, new_id()))
    await redis.hset(sample.key, mapping={f"{number:x}": "" for number in range(5000)})
    async with unit_of_work(owner) as work:
        work.emit(Told(), sample)
    [entry] = await all_entries(owner)
    assert entry.partial


async def test_an_event_about_a_crowd_is_left_to_be_fetched(owner: str) -> None:
    async with unit_of_work(owner) as work:
        work.emit(Told(), *[Box(owner, new_id()) for _ in range(5000)])
    [entry] = await all_entries(owner)
    assert entry.partial


async def test_a_work_without_events_leaves_the_log_as_it_is(owner: str) -> None:
    cursor = await tell(owner)
    async with unit_of_work(owner) as work:
        Shelf.objects.create(work, Shelf(owner, new_id()))
    assert work.cursor == cursor
    assert (await read_behind(owner, None)).head == cursor


async def test_twenty_writers_leave_no_gap_and_every_entry_shows_its_own_change(owner: str) -> None:
    shelf = await make_shelf(owner)

    async def write(times: int) -> list[Cursor]:
        cursors = []
        for _ in range(times):
            async with unit_of_work(owner) as work:
                mine = Shelf.handle(owner, shelf.id)
                Shelf.objects.add(work, mine, box_count=1)
                work.emit(Told(), mine)
            assert work.cursor is not None
            assert mine.box_count == work.cursor.offset
            cursors.append(work.cursor)
        return cursors

    cursors = await asyncio.gather(*[write(20) for _ in range(WRITERS)])
    assert all(mine == sorted(mine) for mine in cursors)
    entries = await all_entries(owner)
    assert [entry.cursor.offset for entry in entries] == list(range(1, 20 * WRITERS + 1))
    for entry in entries:
        seen = Shelf.from_hash(owner, shelf.id, entry.objects[0][1])
        assert seen.box_count == entry.cursor.offset


async def test_the_log_keeps_a_bounded_window(owner: str, redis: Redis) -> None:
    for _ in range(8):
        await tell(owner, NODE)
    assert EVENTS_KEPT <= await redis.xlen(events_key(owner)) <= EVENTS_KEPT + NODE
    assert 0 < await redis.pttl(events_key(owner)) <= 7 * 86_400_000
    assert await redis.pttl(log_key(owner)) == -1, "the numbering outlives its events"


async def test_the_doorbell_says_how_far_the_log_is(owner: str, redis: Redis) -> None:
    async with redis.pubsub() as doorbell:
        await doorbell.subscribe(doorbell_channel(owner))
        cursors = [str(await tell(owner, times)) for times in (1, 3)]
        heard: list[str] = []
        while len(heard) < 2:
            message = await doorbell.get_message(ignore_subscribe_messages=True, timeout=5)
            if message:
                heard.append(message["data"])
    assert [str(read_bell(text)[0]) for text in heard] == cursors


async def test_the_doorbell_carries_the_events_as_the_log_has_them(owner: str, redis: Redis) -> None:
    sample = Sample(owner, new_id(), blob=bytes(range(256)), text='"/\\\x7f漢字 👍', note="")
    async with redis.pubsub() as doorbell:
        await doorbell.subscribe(doorbell_channel(owner))
        await doorbell.get_message(timeout=5)
        await make(sample)
        async with unit_of_work(owner) as work:
            work.emit(Told(), sample)
            work.emit(Told("another", "somebody", {"number": "2"}))
        message = await doorbell.get_message(timeout=5)
    assert message
    head, entries = read_bell(message["data"])
    assert head == work.cursor
    assert entries == await all_entries(owner)
    assert Sample.from_hash(owner, sample.id, entries[0].objects[0][1]) == sample


async def test_a_bell_of_many_events_carries_none(owner: str, redis: Redis) -> None:
    async with redis.pubsub() as doorbell:
        await doorbell.subscribe(doorbell_channel(owner))
        await doorbell.get_message(timeout=5)
        cursor = await tell(owner, EVENTS_IN_A_BELL + 1)
        message = await doorbell.get_message(timeout=5)
    assert message
    assert message["data"] == str(cursor)


@pytest.mark.parametrize("text", ["", "a", "a:1 [", "a:1 {}x", "a:1 7", 'a:1 [["type"]]', "a:1 [7]"])
def test_garbage_is_no_bell(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_bell(text)


# ---- reading
async def test_who_is_at_the_head_missed_nothing(owner: str) -> None:
    head = await tell(owner, 3)
    answer = await read_behind(owner, head)
    assert (answer.head, answer.entries, answer.is_complete) == (head, [], True)


async def test_who_is_behind_gets_what_is_missing_in_order(owner: str) -> None:
    head = await tell(owner, 10)
    answer = await read_behind(owner, Cursor(head.epoch, 7))
    assert answer.is_complete
    assert [entry.cursor.offset for entry in answer.entries] == [8, 9, 10]
    assert answer.entries[-1].cursor == answer.head == head


async def test_who_is_behind_the_window_is_told(owner: str) -> None:
    for _ in range(8):
        head = await tell(owner, NODE)
    answer = await read_behind(owner, Cursor(head.epoch, 50))
    assert (answer.head, answer.entries, answer.is_complete) == (head, [], False)
    recent = await read_behind(owner, Cursor(head.epoch, head.offset - EVENTS_KEPT))
    assert recent.is_complete
    assert len(recent.entries) == EVENTS_KEPT


async def test_a_gap_in_the_middle_is_told(owner: str, redis: Redis) -> None:
    head = await tell(owner, 5)
    await redis.xdel(events_key(owner), "3-0")
    answer = await read_behind(owner, Cursor(head.epoch, 1))
    assert (answer.entries, answer.is_complete) == ([], False)
    assert (await read_behind(owner, Cursor(head.epoch, 3))).is_complete


@pytest.mark.parametrize("offset", [0, 2, 3])
async def test_a_cursor_of_another_epoch_is_told(owner: str, offset: int) -> None:
    head = await tell(owner, 3)
    answer = await read_behind(owner, Cursor("f" * 8, offset))
    assert (answer.head, answer.entries, answer.is_complete) == (head, [], False)


async def test_a_cursor_from_the_future_is_told(owner: str) -> None:
    head = await tell(owner, 3)
    answer = await read_behind(owner, Cursor(head.epoch, 4))
    assert (answer.head, answer.entries, answer.is_complete) == (head, [], False)


async def test_events_that_are_gone_are_told(owner: str, redis: Redis) -> None:
    head = await tell(owner, 3)
    await redis.unlink(events_key(owner))
    assert not (await read_behind(owner, Cursor(head.epoch, 2))).is_complete
    assert (await read_behind(owner, head)).is_complete
    following = await tell(owner)
    assert (following.epoch, following.offset) == (head.epoch, 4)


async def test_a_log_that_is_gone_is_told_and_its_numbers_are_not_taken_for_the_old_ones(
    owner: str, redis: Redis
) -> None:
    old = await tell(owner, 3)
    await redis.unlink(log_key(owner))
    assert not (await read_behind(owner, old)).is_complete
    new = await tell(owner, 3)
    assert (new.offset, new.epoch != old.epoch) == (3, True)
    assert not (await read_behind(owner, old)).is_complete
    assert len(await all_entries(owner)) == 3


async def test_an_owner_without_a_log_has_a_position_all_the_same(owner: str) -> None:
    nowhere = await read_behind(owner, None)
    assert (str(nowhere.head), nowhere.entries, nowhere.is_complete) == (":0", [], True)
    cursor = Cursor.parse(str(nowhere.head))
    assert (await read_behind(owner, cursor)).is_complete
    await tell(owner)
    assert not (await read_behind(owner, cursor)).is_complete


async def test_the_log_of_another_owner_is_another_log(owner: str) -> None:
    mine, yours = await tell(owner, 2), await tell(new_id(), 5)
    assert (mine.offset, yours.offset) == (2, 5)
    assert not (await read_behind(owner, yours)).is_complete


# ---- cursors
@given(st.text("0123456789abcdef", max_size=32), st.integers(0, 10**15 - 1))
def test_a_cursor_is_read_as_it_was_written(epoch: str, offset: int) -> None:
    assert Cursor.parse(str(Cursor(epoch, offset))) == Cursor(epoch, offset)


@given(st.text() | st.from_regex(r"[0-9a-f]+:\d+\s?"))
def test_any_text_is_a_cursor_as_it_is_written_or_no_cursor(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except ValueError:
        return
    assert str(cursor) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a",
        "a:",
        "a:-1",
        "a:1 ",
        " a:1",
        "a:1\n",
        "a:01",
        "a:1.0",
        "g:1",
        "A:1",
        "a:٣",
        "a:1:2",
        "a:" + "9" * 16,
        "a" * 33 + ":1",
        "\x00:1",
        "null",
    ],
)
def test_garbage_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="A cursor is"):
        Cursor.parse(text)
