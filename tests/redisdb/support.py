"""What the tests of the layer do to a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from nanobanana.redisdb import client, connection
from nanobanana.redisdb.client import get_client


@asynccontextmanager
async def speaking_to(url: str) -> AsyncIterator[None]:
    """Have the layer speak to this server inside the block, with connections of its own."""
    before = client._url, client._clients
    client._url, client._clients = url, WeakKeyDictionary()
    try:
        yield
    finally:
        await connection.close()
        client._url, client._clients = before


async def everything_stored() -> dict[str, tuple[str, bool]]:
    """Every key of an owner with its content, as DUMP gives it, and whether it expires."""
    redis = get_client()
    return {
        key: (await redis.dump(key), await redis.pttl(key) > 0) for key in sorted(await redis.keys("nb:{*"))
    }


@asynccontextmanager
async def full_memory() -> AsyncIterator[None]:
    """Inside the block, Redis refuses what needs memory."""
    await get_client().config_set("maxmemory", 1)
    try:
        yield
    finally:
        await get_client().config_set("maxmemory", 0)
