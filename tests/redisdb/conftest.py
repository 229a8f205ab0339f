"""The layer speaks to the suite's Redis, which is empty when a test begins."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id
from tests.redisdb.support import speaking_to
from tests.support.redis_server import RunningRedis, start_redis, tests_run_on_the_floor


@pytest.fixture(autouse=True)
async def redis(redis_server: RunningRedis) -> AsyncIterator[Redis]:
    """The client of the layer, on an empty server."""
    async with speaking_to(redis_server.url):
        await get_client().flushall()
        yield get_client()


@pytest.fixture
def owner() -> str:
    return new_id()


@pytest.fixture
async def mortal_redis(tmp_path: Path) -> AsyncIterator[RunningRedis]:
    """A server of the test's own, which it may kill; the layer speaks to it."""
    server = start_redis(tmp_path, floor=tests_run_on_the_floor())
    async with speaking_to(server.url):
        yield server
    server.stop()
