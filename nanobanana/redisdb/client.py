"""The connection to Redis: one client for each event loop, with time limits a request can live with."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from weakref import WeakKeyDictionary

from hiredis import pack_command
from redis import Redis as BlockingRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError

from nanobanana.redisdb.patience import bear

CONNECTIONS = 64  # of one process; a request that finds none free waits for one
SECONDS_TO_CONNECT = 2
SECONDS_TO_ANSWER = 2.5  # one call, with its retries; and all slow ones of a request (see `patience.py`)
RETRIES = 2
SECONDS_OF_A_THREAD = 5  # one call of the blocking client

_url = ""
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()


class PackingMixin:
    """Packs commands in C: the client does it in Python, at ten times the cost (80 µs for a commit)."""

    def pack_command(self, *arguments: str | bytes | int | float) -> list[bytes]:
        name, *rest = arguments
        return [pack(*str(name).split(), *rest)]  # some names are two: CONFIG GET


def pack(*words: str | bytes | int | float) -> bytes:
    """A command as Redis takes it."""
    try:
        return pack_command(words)  # type: ignore[arg-type]  # hiredis means tuple[…, ...]
    except UnicodeEncodeError:
        return pack_command(tuple(map(_as_it_came, words)))  # type: ignore[arg-type]


def _as_it_came(argument: str | bytes | int | float) -> bytes | str | int | float:
    """Text that was read from bytes that are no UTF-8 goes back as these."""
    return argument.encode("utf-8", "surrogateescape") if isinstance(argument, str) else argument


def configure(url: str) -> None:
    """Say which Redis to use: `redis://`, `rediss://` or `unix://`."""
    global _url
    _url = url
    _clients.clear()


def get_client() -> Any:
    """The client of the running event loop; its type hints cannot say that answers are decoded, so none."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = connect(_url)
    return client


def connect(url: str) -> Redis:
    """Make a client. It has no timeout of its own on the socket: `scripts.py` bounds each call as a whole,
    which is cheaper and counts the retries in; a client that subscribes waits as long as it takes.

    Retries are safe for reads and for the commit script, which knows an operation it has done; nothing else
    that writes may rely on them. Bytes that are no UTF-8 survive as surrogates (see `BinaryField`).
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=SECONDS_TO_ANSWER,
        protocol=2,
        decode_responses=True,
        encoding_errors="surrogateescape",
        socket_timeout=None,
        socket_connect_timeout=SECONDS_TO_CONNECT,
        health_check_interval=0,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES),
        retry_on_error=[ConnectionError, TimeoutError],
    )
    pool.connection_class = type("PackingConnection", (PackingMixin, pool.connection_class), {})
    return Redis.from_pool(pool)


def connect_blocking() -> BlockingRedis:
    """A client for threads, which may wait and tries nothing again: it may not be safe to."""
    return BlockingRedis.from_url(
        _url,
        protocol=2,
        retry=None,
        socket_timeout=SECONDS_OF_A_THREAD,
        socket_connect_timeout=SECONDS_TO_CONNECT,
    )


async def ask(*command: str | int) -> Any:
    """Send one command and wait no longer than a request can; only for what may be sent twice."""
    return await in_time(get_client().execute_command(*command))


async def ask_all(pipeline: Any) -> list[Any]:
    """Send a pipeline and wait no longer than a request can; its answers."""
    return await in_time(pipeline.execute())


async def in_time(call: Awaitable[Any]) -> Any:
    """What the call answers; TimeoutError when that takes longer than a request can wait."""
    return await bear(_bounded(call), SECONDS_TO_ANSWER)


async def _bounded(call: Awaitable[Any]) -> Any:
    async with asyncio.timeout(SECONDS_TO_ANSWER):
        return await call


async def close_client() -> None:
    """Close the client of the running event loop."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()
