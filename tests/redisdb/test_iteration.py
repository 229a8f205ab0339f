"""Commands walk over every object of every owner while the server goes on serving."""

import asyncio
from collections import Counter
from contextlib import suppress

from redis.asyncio import Redis

from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Box, Shelf, StoredBox, Thing, make_box, make_shelf

OBJECTS = 5000
AT_ONCE = 250


async def put_things(owner_id: str, number: int) -> set[str]:
    things = [Thing(owner_id, new_id(), name=owner_id) for _ in range(number)]
    async with unit_of_work(owner_id) as work:
        for thing in things:
            Thing.objects.create(work, thing)
    return {thing.id for thing in things}


async def keep_writing(owner_id: str) -> None:
    while True:
        coming = await put_things(owner_id, 20)
        async with unit_of_work(owner_id) as work:
            for identifier in coming:
                Thing.objects.delete(work, Thing(owner_id, identifier))


async def test_every_object_that_stays_is_given_while_others_come_and_go() -> None:
    staying: set[str] = set()
    for _ in range(OBJECTS // AT_ONCE):
        staying |= await put_things(new_id(), AT_ONCE)
    writer = asyncio.create_task(keep_writing(new_id()))
    seen = Counter([thing.id async for thing in Thing.objects.aiterate()])
    writer.cancel()
    with suppress(asyncio.CancelledError):
        await writer
    assert len(staying) == OBJECTS
    assert staying <= seen.keys()


async def test_objects_come_with_their_owners_and_values() -> None:
    shelves = [await make_shelf(new_id(), title=title) for title in "abc"]
    found = [shelf async for shelf in Shelf.objects.aiterate()]
    assert sorted(found, key=lambda shelf: shelf.title) == shelves


async def test_only_objects_of_this_kind_are_given(owner: str, redis: Redis) -> None:
    box = await make_box(await make_shelf(owner))
    identifier = new_id()
    await redis.hset(StoredBox(owner, identifier).key, "title", "of another kind")
    await redis.hset(owner_key(owner, "box", "no id"), "title", "no object")
    await redis.hset(owner_key(owner, "box", identifier, "extra"), "title", "no object")
    await redis.hset(owner_key(owner, "box", "extra", identifier), "title", "no object")
    await redis.hset(owner_key(owner, "old", "box", identifier), "title", "no object")
    await redis.set(owner_key(owner, "box", identifier), "a string")
    assert [found async for found in Box.objects.aiterate()] == [box]


async def test_where_there_is_nothing_nothing_is_given() -> None:
    assert [box async for box in Box.objects.aiterate()] == []
