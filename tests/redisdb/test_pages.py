"""Windows of an index: the right part, in the right order, in one round trip, whatever happens meanwhile."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from nanobanana.redisdb import scripts
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Page, Window, from_related
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Box, Shelf, Thing, boxes_of, make, make_box, make_shelf


@pytest.fixture
async def shelf(owner: str) -> Shelf:
    """Ten boxes: ranks 0, 1, 1, 1, 4, 5 … 9."""
    shelf = await make_shelf(owner)
    for rank in (0, 1, 1, 1, 4, 5, 6, 7, 8, 9):
        await make_box(shelf, rank=rank)
    return shelf


async def read(shelf: Shelf, window: Window) -> Page[Box]:
    return await Box.objects.apage(shelf.owner_id, boxes_of(shelf), window)


async def in_order(shelf: Shelf) -> list[Box]:
    return (await read(shelf, Window(100))).objects


def behind(box: Box) -> tuple[str, str]:
    return str(box.rank), box.id


async def test_a_page_counts_the_whole_index(shelf: Shelf) -> None:
    page = await read(shelf, Window(4, offset=2))
    assert [box.rank for box in page.objects] == [1, 1, 4, 5]
    assert (page.total, page.first, page.has_more, page.vanished) == (10, 2, True, 0)


async def test_a_page_can_begin_at_the_other_end(shelf: Shelf) -> None:
    page = await read(shelf, Window(3, offset=1, descending=True))
    assert [box.rank for box in page.objects] == [8, 7, 6]
    assert (page.total, page.first, page.has_more) == (10, 1, True)


@pytest.mark.parametrize("offset", [10, 11, 10**9])
@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_past_the_end_is_empty(shelf: Shelf, offset: int, descending: bool) -> None:
    page = await read(shelf, Window(5, offset=offset, descending=descending))
    assert (page.objects, page.total, page.has_more) == ([], 10, False)


async def test_an_index_that_never_was_is_empty(owner: str) -> None:
    page = await Box.objects.apage(owner, "shelf:none:boxes", Window(5))
    assert (page.objects, page.total, page.first, page.has_more) == ([], 0, 0, False)


@pytest.mark.parametrize("descending", [False, True])
async def test_entries_of_one_score_are_told_apart_by_their_ids(shelf: Shelf, descending: bool) -> None:
    boxes = await in_order(shelf)
    boxes = boxes[::-1] if descending else boxes
    for position, box in enumerate(boxes):
        page = await read(shelf, Window(2, descending=descending, behind=behind(box)))
        assert page.objects == boxes[position + 1 : position + 3]
        assert page.first == position + 1


@pytest.mark.parametrize("descending", [False, True])
async def test_a_reader_behind_an_entry_that_left_misses_and_repeats_nothing(
    shelf: Shelf, descending: bool
) -> None:
    boxes = await in_order(shelf)
    boxes = boxes[::-1] if descending else boxes
    for position, box in enumerate(boxes[:-1]):
        async with unit_of_work(shelf.owner_id) as work:
            Box.objects.delete(work, box)
        page = await read(shelf, Window(1, descending=descending, behind=behind(box)))
        assert page.objects == [boxes[position + 1]]
        assert (page.first, page.total) == (0, 9 - position)


async def test_a_reader_that_pages_by_cursor_sees_each_once_while_others_come_in_front(shelf: Shelf) -> None:
    before = await in_order(shelf)
    seen: list[Box] = []
    window = Window(3, descending=True)
    while page := (await read(shelf, window)).objects:
        seen += page
        await make_box(shelf, rank=100)
        window = Window(3, descending=True, behind=behind(page[-1]))
    assert seen == before[::-1]


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (10, -1)])
def test_a_window_that_is_none_is_refused(limit: int, offset: int) -> None:
    with pytest.raises(ValueError, match="A window has"):
        Window(limit, offset)


async def test_entries_without_an_object_are_counted(shelf: Shelf, redis: Redis) -> None:
    boxes = await in_order(shelf)
    await redis.unlink(boxes[1].key, boxes[9].key)
    page = await read(shelf, Window(5))
    assert page.objects == [boxes[0], *boxes[2:5]]
    assert (page.total, page.vanished, page.has_more) == (10, 1, True)
    last = await read(shelf, Window(5, offset=5))
    assert (last.vanished, last.has_more) == (1, False)


async def test_a_required_object_that_is_missing_is_an_error(shelf: Shelf) -> None:
    index = boxes_of(shelf)
    page = await Box.objects.apage(shelf.owner_id, index, Window(1), required=shelf)
    assert len(page.objects) == 1
    for required in (Shelf(shelf.owner_id, new_id()), Shelf(shelf.owner_id, new_id()).key):
        with pytest.raises(DoesNotExist):
            await Box.objects.apage(shelf.owner_id, index, Window(1), required=required)


async def test_related_objects_come_once_however_many_refer_to_them(owner: str) -> None:
    shelf = await make_shelf(owner)
    things = [await make(Thing(owner, new_id(), name=name)) for name in "abc"]
    ids = [thing.id for thing in things]
    for thing_ids in (ids[:2], ids[1:], [], [ids[0], new_id(), ids[0]]):
        await make_box(shelf, thing_ids=thing_ids)
    page = await Box.objects.apage(owner, boxes_of(shelf), Window(9), related=["thing_ids", "shelf_id"])
    assert sorted(page.related) == sorted([shelf.key, *[thing.key for thing in things]])
    prefix = Box.key_prefix(owner)
    relations = ["thing_ids", Thing.key_prefix(owner), "shelf_id", Shelf.key_prefix(owner)]
    answer = await scripts.fetch(
        [owner_key(owner, boxes_of(shelf))], [prefix, "asc", 0, 9, "", "", 2, *relations]
    )
    assert len(answer[4]) == 2 * 5, "three things, one that never was, and the shelf: each once on the wire"
    names = [
        [t.name for t in from_related(Thing, owner, box.thing_ids, page.related)] for box in page.objects
    ]
    assert names == [["a", "b"], ["b", "c"], [], ["a", "a"]]


# ---- against a plain model of an index
@dataclass
class PlainIndex:
    """What an index promises, in a few lines of Python."""

    entries: list[tuple[int, str]] = field(default_factory=list)

    def page(self, window: Window) -> tuple[list[str], int]:
        """The ids of the window, and the rank of the first."""
        ordered = sorted(self.entries, reverse=window.descending)
        first = window.offset
        if window.behind is not None:
            mark = (int(window.behind[0]), window.behind[1])
            first = sum(entry >= mark if window.descending else entry <= mark for entry in ordered)
        return [identifier for _, identifier in ordered[first : first + window.limit]], first


IDS = sorted(new_id() for _ in range(30))
ENTRIES = st.dictionaries(st.sampled_from(IDS), st.integers(-3, 3), max_size=25)
MARKS = st.none() | st.tuples(st.integers(-4, 4).map(str), st.sampled_from(IDS))
WINDOWS = st.lists(
    st.builds(Window, st.integers(1, 30), st.integers(0, 30), st.booleans(), MARKS), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranks=ENTRIES, windows=WINDOWS)
async def test_every_window_is_what_a_plain_index_gives(ranks: dict[str, int], windows: list[Window]) -> None:
    shelf = Shelf(new_id(), new_id())
    async with unit_of_work(shelf.owner_id) as work:
        for identifier, rank in ranks.items():
            Box.objects.create(work, Box(shelf.owner_id, identifier, shelf_id=shelf.id, rank=rank))
    plain = PlainIndex([(rank, identifier) for identifier, rank in ranks.items()])
    for window in windows:
        page = await read(shelf, window)
        assert ([box.id for box in page.objects], page.first) == plain.page(window)
        assert page.total == len(ranks)
        assert page.has_more == (page.first + len(page.objects) < len(ranks))
