"""A Redis that is killed in the middle of the work loses nothing it answered and leaves nothing half done."""

import asyncio
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.event_log import Cursor, read_behind
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import events_key
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Box, Shelf, Told, boxes_of, make_shelf
from tests.support.redis_server import RunningRedis

COMMITS = 2000
WRITERS = 8
KILLED_AFTER = (500, 1100, 1600)  # answered commits


@dataclass
class Diary:
    """What the writers were told, and what they were not."""

    answered: list[tuple[str, Cursor]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    time_to_kill: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, box_id: str, cursor: Cursor) -> None:
        self.answered.append((box_id, cursor))
        if len(self.answered) in KILLED_AFTER:
            self.time_to_kill.set()

    def __len__(self) -> int:
        return len(self.answered) + len(self.unanswered)


async def put_boxes(shelf: Shelf, diary: Diary, todo: list[str]) -> None:
    while todo:
        box = Box(shelf.owner_id, todo.pop(), shelf_id=shelf.id, rank=len(todo))
        try:
            async with unit_of_work(shelf.owner_id) as work:
                Box.objects.create(work, box)
                Shelf.objects.add(work, Shelf.handle(shelf.owner_id, shelf.id), box_count=1)
                work.emit(Told(ids={"boxId": box.id}))
        except RedisError:
            diary.unanswered.append(box.id)
            await asyncio.sleep(0.05)
        else:
            assert work.cursor is not None
            diary.note(box.id, work.cursor)


async def kill_now_and_then(server: RunningRedis, diary: Diary) -> None:
    for _ in KILLED_AFTER:
        await diary.time_to_kill.wait()
        diary.time_to_kill.clear()
        server.kill()
        await asyncio.to_thread(server.restart)


async def test_a_killed_redis_keeps_every_answered_commit_whole(
    owner: str, mortal_redis: RunningRedis
) -> None:
    shelf, diary = await make_shelf(owner), Diary()
    todo = [new_id() for _ in range(COMMITS)]
    writers = [put_boxes(shelf, diary, todo) for _ in range(WRITERS)]
    await asyncio.gather(kill_now_and_then(mortal_redis, diary), *writers)
    assert len(diary) == COMMITS
    assert len(diary.answered) > KILLED_AFTER[-1]
    answered = {identifier for identifier, _ in diary.answered}

    stored = {box.id for box in (await Box.objects.apage(owner, boxes_of(shelf), Window(COMMITS))).objects}
    assert answered <= stored
    assert stored - answered <= set(diary.unanswered)

    keys = [key async for key in get_client().scan_iter(Box.key_prefix(owner) + "*", count=1000)]
    assert {key.rpartition(":")[2] for key in keys} == stored, (
        "what is stored is listed, what is listed is stored"
    )
    assert await Box.objects.acount(owner, boxes_of(shelf)) == len(stored)
    assert (await Shelf.objects.aget(owner, shelf.id)).box_count == len(stored)
    assert set(await Box.objects.ids(owner, "unused-boxes", first=0, limit=COMMITS)) == stored

    offsets = [cursor.offset for _, cursor in diary.answered]
    assert len(set(offsets)) == len(offsets), "no number was given twice"
    assert {cursor.epoch for _, cursor in diary.answered} == {diary.answered[0][1].epoch}
    head = (await read_behind(owner, None)).head
    assert head.offset == len(stored), "one event for each change"
    kept = await get_client().xrange(events_key(owner))
    numbers = [int(identifier.partition("-")[0]) for identifier, _ in kept]
    assert numbers == list(range(head.offset - len(kept) + 1, head.offset + 1)), "and no gap in the window"
