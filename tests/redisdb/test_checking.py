"""Checks of models that nobody had in mind when the checks were written."""

import pytest

from nanobanana.redisdb.checking import Checker, Findings
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import CounterField, IntegerField, ReferenceField
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Manager
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.tallies import References, Total
from nanobanana.redisdb.unit_of_work import unit_of_work
from nanobanana.redisdb.walking import keys_by_owner, keys_of
from tests.redisdb.toys import Shelf


class Crate(Model):
    kind = "crate"
    shelf_id = ReferenceField(to="rack")
    rank = IntegerField(default=0)
    weight = IntegerField(default=0)

    indexes = (Index("rack:{shelf_id}:crates", score="rank"), Index("crates", score="rank"))
    objects: "Manager[Crate]" = Manager()


class Rack(Model):
    kind = "rack"
    crates = CounterField(zero_index="empty-racks", counts=References("crate", "shelf_id"))

    indexes = ()
    objects: "Manager[Rack]" = Manager()


class Load(Model):
    kind = "load"
    crates = CounterField(counts=Total("crate"))
    weight = CounterField(counts=Total("crate", "weight"))

    objects: "Manager[Load]" = Manager()


CHECKER = Checker([Crate, Rack, Load])


@pytest.fixture
async def crate(owner: str) -> Crate:
    """One of 7 on a rack, beside an empty rack."""
    rack, empty, load = Rack(owner, new_id()), Rack(owner, new_id()), Load(owner, owner)
    crate = Crate(owner, new_id(), shelf_id=rack.id, weight=7)
    async with unit_of_work(owner) as work:
        Rack.objects.create(work, rack)
        Rack.objects.create(work, empty)
        Load.objects.create(work, load)
        Crate.objects.create(work, crate)
    async with unit_of_work(owner) as work:
        Rack.objects.add(work, rack, crates=1)
        Load.objects.add(work, load, crates=1, weight=7)
    return crate


async def check(owner: str, *, repair: bool = False) -> Findings:
    return await CHECKER.check(owner, await keys_of(owner), repair=repair)


async def test_nothing_is_found_where_all_is_well(crate: Crate) -> None:
    assert await check(crate.owner_id) == Findings()


async def test_every_declaration_is_checked(crate: Crate) -> None:
    redis, owner = get_client(), crate.owner_id
    await redis.zrem(owner_key(owner, "rack", crate.shelf_id, "crates"), crate.id)
    await redis.zincrby(owner_key(owner, "crates"), 1, crate.id)
    await redis.zadd(owner_key(owner, "crates"), {new_id(): 0})
    await redis.hset(owner_key(owner, "rack", crate.shelf_id), "crates", 0)
    await redis.unlink(owner_key(owner, "load", owner), owner_key(owner, "empty-racks"))
    assert len((await check(owner)).faults) == 8  # the rack that counts nothing lacks an entry as well
    findings = await check(owner, repair=True)
    assert findings.faults == []
    assert await check(owner) == Findings()
    load = await Load.objects.aget(owner, owner)
    assert (load.crates, load.weight) == (1, 7)


async def test_what_cannot_be_read_is_neither_counted_nor_moved(crate: Crate) -> None:
    await get_client().hset(crate.key, "rank", "first")
    findings = await check(crate.owner_id, repair=True)
    assert (len(findings.faults), findings.mended) == (1, [])
    await get_client().hset(crate.key, "rank", "0")
    assert await check(crate.owner_id) == Findings()


async def test_a_model_that_is_not_known_is_told(crate: Crate) -> None:
    async with unit_of_work(crate.owner_id) as work:
        Shelf.objects.create(work, Shelf(crate.owner_id, new_id()))
    assert ["belongs to no model" in fault for fault in (await check(crate.owner_id)).faults] == [True, True]


async def test_owners_are_gone_over_one_by_one(crate: Crate) -> None:
    await get_client().set(owner_key(crate.owner_id, "a\nname\udcff of any bytes"), 1)
    found = [keys async for owner_id, keys in keys_by_owner() if owner_id == crate.owner_id]
    assert [sorted(keys) for keys in found] == [sorted(await keys_of(crate.owner_id))]
    assert any("\udcff" in key for key in found[0])
