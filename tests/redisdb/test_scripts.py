"""Scripts are known to a server, or taught to it when it has forgotten them."""

from redis.asyncio import Redis

from nanobanana.redisdb import scripts
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Box, Shelf, Told, make_box, make_shelf
from tests.support.redis_server import RunningRedis


async def test_a_server_that_forgot_its_scripts_learns_them_again(owner: str, redis: Redis) -> None:
    shelf = await make_shelf(owner)
    await redis.script_flush()
    box = await make_box(shelf)
    await redis.script_flush()
    assert await Box.objects.aget(owner, box.id) == box


async def test_everything_works_again_after_a_restart(owner: str, mortal_redis: RunningRedis) -> None:
    shelf = await make_shelf(owner, title="survivor")
    mortal_redis.kill()
    mortal_redis.restart()
    assert (await Shelf.objects.aget(owner, shelf.id)).title == "survivor"
    async with unit_of_work(owner) as work:
        Shelf.objects.add(work, shelf, box_count=1)
        work.emit(Told(), shelf)
    assert shelf.box_count == 1


async def test_each_script_says_what_it_takes_and_returns() -> None:
    for path in sorted((scripts._directory).glob("*.lua")):
        head = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("--"))
        assert all(word in head for word in ("KEYS", "ARGV", "Returns")), path.name
