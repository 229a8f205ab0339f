"""How much there is of everything, by one walk over the names of all keys.

Names say of what kind an object is; only users, bytes of pictures and open sockets have to be read. What
others write meanwhile may be counted or not.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from accounts.models import Device, User
from chats.models import HiddenSession, Message, Session, TrashedSession
from media_store.models import Blob, Image
from nanobanana import job_queue
from nanobanana.data_check import checker
from nanobanana.progress import Advance
from nanobanana.redisdb.client import ask, get_client
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.walking import keys_like

PRESENCE = ":presence"
PLURALS = {
    User: "users",
    Device: "devices",
    Session: "sessions",
    TrashedSession: "trashedSessions",
    HiddenSession: "hiddenSessions",
    Message: "messages",
    Image: "images",
    Blob: "blobs",
}
NAMES = {model.kind: name for model, name in PLURALS.items()}


async def take_census(advance: Advance = lambda _: None) -> dict[str, Any]:
    """Counts, bytes, sockets, jobs and memory; `advance` counts keys."""
    found: Counter[str] = Counter(dict.fromkeys(NAMES.values(), 0))
    async for keys in keys_like(owner_key("*", "*"), advance):
        kinds = {key: named[0].kind for key in keys if (named := checker().object_of(key))}
        found.update(NAMES[kind] for kind in kinds.values() if kind in NAMES)
        for kind, read in READERS.items():
            found.update(await read([key for key in keys if kinds.get(key) == kind]))
        found.update(await _open_sockets([key for key in keys if key.endswith(PRESENCE)]))
    jobs, workers, memory = await asyncio.gather(
        job_queue.figures(), job_queue.workers_alive(), ask("INFO", "memory")
    )
    return {
        **found,
        "keys": await ask("DBSIZE"),
        "memory": {"used": memory["used_memory"], "limit": memory["maxmemory"]},
        "jobs": {**jobs, "workers": workers},
    }


async def _active_users(keys: Sequence[str]) -> dict[str, int]:
    return {"activeUsers": sum(active != "0" for [active] in await _fields(keys, "is_active"))}


async def _stored_bytes(keys: Sequence[str]) -> dict[str, int]:
    """Originals and their first thumbnails; other sizes are made when they are asked for."""
    return {"bytes": sum(int(size or 0) for row in await _fields(keys, "size", "thumb_size") for size in row)}


READERS: dict[str, Callable[[Sequence[str]], Awaitable[dict[str, int]]]] = {
    User.kind: _active_users,
    Blob.kind: _stored_bytes,
}


async def _open_sockets(keys: Sequence[str]) -> dict[str, int]:
    pipeline = get_client().pipeline(transaction=False)
    for key in keys:
        pipeline.zcount(key, milliseconds(now()), "+inf")
    return {"sockets": sum(await pipeline.execute()) if keys else 0}


async def _fields(keys: Sequence[str], *names: str) -> list[list[str | None]]:
    pipeline = get_client().pipeline(transaction=False)
    for key in keys:
        pipeline.hmget(key, names)
    return await pipeline.execute() if keys else []
