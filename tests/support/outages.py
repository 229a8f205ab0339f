"""States of Redis in which it does not serve, for the time of a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nanobanana.redisdb.client import get_client


@asynccontextmanager
async def replica() -> AsyncIterator[None]:
    """Redis as the follower of one that is not there, as in the middle of a failover."""
    await get_client().execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    await get_client().execute_command("REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def full() -> AsyncIterator[None]:
    await get_client().config_set("maxmemory", "1")
    yield
    await get_client().config_set("maxmemory", "0")


@asynccontextmanager
async def evicting() -> AsyncIterator[None]:
    """It has room for now, and will delete what it has when there is none."""
    await get_client().config_set("maxmemory", "100mb")
    await get_client().config_set("maxmemory-policy", "allkeys-lru")
    yield
    await get_client().config_set("maxmemory-policy", "noeviction")
    await get_client().config_set("maxmemory", "0")
