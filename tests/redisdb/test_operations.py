"""A request that its client or our own Redis client repeats is answered as before and done once."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from nanobanana.redisdb.event_log import read_behind
from nanobanana.redisdb.exceptions import CommitRefused, OperationMismatch
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, unit_of_work, was_committed
from tests.redisdb.support import everything_stored, speaking_to
from tests.redisdb.toys import Box, Shelf, Told, boxes_of, make_box, make_shelf
from tests.support.lossy_proxy import lossy_proxy
from tests.support.redis_server import RunningRedis

COMMITS = 500


async def put_box(shelf: Shelf, title: str, operation: Operation) -> tuple[Box, Shelf, UnitOfWork]:
    """What a request does: a new box, counted by its shelf, which is named after the first one."""
    box = Box(shelf.owner_id, new_id(), shelf_id=shelf.id, title=title)
    counted = Shelf.handle(shelf.owner_id, shelf.id)
    async with unit_of_work(shelf.owner_id, operation) as work:
        Box.objects.create(work, box)
        Shelf.objects.add(work, counted, box_count=1)
        work.emit(Told(ids={"boxId": box.id}), box)
    return box, counted, work


async def test_a_repeated_request_is_answered_as_the_first_one(owner: str) -> None:
    shelf = await make_shelf(owner)
    operation = Operation("key-1", "put a box")
    first, first_shelf, first_work = await put_box(shelf, "box", operation)
    stored = await everything_stored()
    second, second_shelf, second_work = await put_box(shelf, "box", operation)
    assert (second, second_shelf) == (first, first_shelf)
    assert (second_work.cursor, second_work.changed) == (first_work.cursor, True)
    assert await everything_stored() == stored
    assert (await Shelf.objects.aget(owner, shelf.id)).box_count == 1


async def test_twenty_at_once_have_one_effect(owner: str) -> None:
    shelf = await make_shelf(owner)
    answers = await asyncio.gather(*[put_box(shelf, "box", Operation("key", "put")) for _ in range(20)])
    assert len({box.id for box, _, _ in answers}) == 1
    assert await Box.objects.acount(owner, boxes_of(shelf)) == 1
    assert (await Shelf.objects.aget(owner, shelf.id)).box_count == 1
    assert (await read_behind(owner, None)).head.offset == 1


async def test_the_answer_is_that_of_the_time_of_the_first_request(owner: str) -> None:
    shelf = await make_shelf(owner)
    operation = Operation("key", "put")
    box, _, _ = await put_box(shelf, "box", operation)
    async with unit_of_work(owner) as work:
        Box.objects.update(work, await Box.objects.aget(owner, box.id), title="changed since")
    repeated, repeated_shelf, _ = await put_box(shelf, "box", operation)
    assert (repeated.title, repeated_shelf.box_count) == ("box", 1)


async def test_it_is_answered_even_when_its_object_is_gone(owner: str) -> None:
    shelf = await make_shelf(owner)
    operation = Operation("key", "put")
    box, _, _ = await put_box(shelf, "box", operation)
    async with unit_of_work(owner) as work:
        Box.objects.delete(work, await Box.objects.aget(owner, box.id))
        Shelf.objects.delete(work, shelf)
    repeated, _, _ = await put_box(shelf, "box", operation)
    assert repeated == box


@pytest.mark.parametrize("fingerprint", ["put another", "", "put a box "])
async def test_the_same_key_for_another_request_is_a_mismatch(owner: str, fingerprint: str) -> None:
    shelf = await make_shelf(owner)
    await put_box(shelf, "box", Operation("key", "put a box"))
    before = await everything_stored()
    with pytest.raises(OperationMismatch):
        await put_box(shelf, "another", Operation("key", fingerprint))
    assert await everything_stored() == before


async def test_an_empty_fingerprint_is_a_fingerprint(owner: str) -> None:
    shelf = await make_shelf(owner)
    first, _, _ = await put_box(shelf, "box", Operation("key", ""))
    second, _, _ = await put_box(shelf, "box", Operation("key", ""))
    assert second == first


async def test_the_same_key_of_another_owner_is_another_request(owner: str) -> None:
    operation = Operation("key", "put")
    first, _, _ = await put_box(await make_shelf(owner), "mine", operation)
    second, _, _ = await put_box(await make_shelf(new_id()), "yours", operation)
    assert first.id != second.id


async def test_a_refused_request_can_be_tried_again_with_its_key(owner: str) -> None:
    operation = Operation("key", "put")
    shelf = Shelf(owner, new_id())
    with pytest.raises(CommitRefused):
        await put_box(shelf, "box", operation)
    async with unit_of_work(owner) as work:
        Shelf.objects.create(work, shelf)
    box, counted, _ = await put_box(shelf, "box", operation)
    assert (box.title, counted.box_count) == ("box", 1)


async def test_a_repetition_may_plan_for_other_objects_than_the_first_request(owner: str) -> None:
    """What was read in between differs, and so the plan; the answer is the first one's all the same."""
    shelf = await make_shelf(owner)
    other = await make_box(shelf, title="other")
    operation = Operation("key", "put")
    first = Box(owner, new_id(), shelf_id=shelf.id, title="first")
    async with unit_of_work(owner, operation) as work:
        Shelf.objects.update(work, shelf, title="named after its first box")
        Box.objects.create(work, first)
    again, untouched = (
        Box(owner, new_id(), shelf_id=shelf.id, title="again"),
        await Box.objects.aget(owner, other.id),
    )
    async with unit_of_work(owner, operation) as work:
        Box.objects.create(work, again)
        Box.objects.update(work, untouched, title="not done")
    assert again == first
    assert untouched == other


async def test_several_new_objects_are_answered_in_their_order(owner: str) -> None:
    shelf = await make_shelf(owner)

    async def put_three() -> list[Box]:
        boxes = [Box(owner, new_id(), shelf_id=shelf.id, title=title) for title in "abc"]
        async with unit_of_work(owner, Operation("key", "put")) as work:
            for box in boxes:
                Box.objects.create(work, box)
        return boxes

    first = await put_three()
    assert await put_three() == first
    assert [box.title for box in first] == ["a", "b", "c"]


async def test_a_request_that_changed_nothing_is_remembered_too(owner: str) -> None:
    shelf = await make_shelf(owner, title="same")

    async def name_it() -> UnitOfWork:
        async with unit_of_work(owner, Operation("key", "name")) as work:
            Shelf.objects.update_if_different(work, shelf, {"title": "same"})
        return work

    assert not (await name_it()).changed
    async with unit_of_work(owner) as work:
        Shelf.objects.update(work, shelf, title="changed since")
    assert not (await name_it()).changed
    assert (await Shelf.objects.aget(owner, shelf.id)).title == "changed since"


async def test_it_can_be_asked_whether_a_request_was_done(owner: str) -> None:
    shelf, operation = await make_shelf(owner), Operation("key", "put")
    assert not await was_committed(owner, operation)
    await put_box(shelf, "box", operation)
    stored = await everything_stored()
    assert await was_committed(owner, operation)
    assert not await was_committed(new_id(), operation)
    assert not await was_committed(owner, None)
    with pytest.raises(OperationMismatch):
        await was_committed(owner, Operation("key", "put another"))
    assert await everything_stored() == stored


async def test_a_client_is_remembered_for_a_day_and_our_own_retries_for_a_minute(
    owner: str, redis: Redis
) -> None:
    shelf = await make_shelf(owner)
    await put_box(shelf, "box", Operation("key", "put"))
    lives = sorted([await redis.pttl(key) for key in await redis.keys("*:operation:*")])
    assert len(lives) == 2
    assert 50_000 < lives[0] <= 60_000
    assert 86_000_000 < lives[1] <= 86_400_000


@pytest.mark.parametrize("name", ["", "a key with blanks", "漢字", "{u:someone}:else", "x" * 10_000, "\x00"])
async def test_any_text_may_name_a_request(owner: str, name: str) -> None:
    shelf = await make_shelf(owner)
    first, _, _ = await put_box(shelf, "box", Operation(name, "put"))
    second, _, _ = await put_box(shelf, "box", Operation(name, "put"))
    assert first == second


# ---- replies that are lost on the way
async def test_no_commit_is_doubled_when_replies_are_lost(
    owner: str, redis_server: RunningRedis, tmp_path: Path
) -> None:
    shelf = await make_shelf(owner)
    async with (
        lossy_proxy(tmp_path, redis_server.socket_path, lose_every=13) as proxy,
        speaking_to(proxy.url),
    ):
        counted = [await count_one(shelf) for _ in range(COMMITS)]
    assert proxy.lost > 20
    assert counted == [(number, number) for number in range(1, COMMITS + 1)]
    assert (await Shelf.objects.aget(owner, shelf.id)).box_count == COMMITS
    assert (await read_behind(owner, None)).head.offset == COMMITS


async def test_no_commit_is_doubled_when_many_at_once_lose_their_replies(
    owner: str, redis_server: RunningRedis, tmp_path: Path
) -> None:
    shelf = await make_shelf(owner)
    counted: list[tuple[int, int]] = []
    async with (
        lossy_proxy(tmp_path, redis_server.socket_path, lose_every=29) as proxy,
        speaking_to(proxy.url),
    ):
        while proxy.lost < 3:
            counted += await asyncio.gather(*[count_one(shelf) for _ in range(20)])
    assert sorted(offset for offset, _ in counted) == list(range(1, len(counted) + 1))
    assert (await Shelf.objects.aget(owner, shelf.id)).box_count == len(counted)


async def test_a_retry_is_answered_with_what_is_stored(
    owner: str, redis_server: RunningRedis, tmp_path: Path
) -> None:
    shelf = await make_shelf(owner)
    async with (
        lossy_proxy(tmp_path, redis_server.socket_path, lose_every=7) as proxy,
        speaking_to(proxy.url),
    ):
        boxes = [await make_box(shelf, title=f"box {number}", rank=number) for number in range(50)]
    assert proxy.lost > 2
    page = await Box.objects.apage(owner, boxes_of(shelf), Window(100))
    assert page.objects == boxes


async def count_one(shelf: Shelf) -> tuple[int, int]:
    """Count one more, and tell; the offset of the event and the count that is answered."""
    counted = Shelf.handle(shelf.owner_id, shelf.id)
    async with unit_of_work(shelf.owner_id) as work:
        Shelf.objects.add(work, counted, box_count=1)
        work.emit(Told())
    assert work.cursor is not None
    return work.cursor.offset, counted.box_count
