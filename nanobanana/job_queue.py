"""The queue of jobs as it lies in Redis: dramatiq's layout, in the one slot of `{jobs}`."""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dramatiq.errors import DecodeError
from dramatiq.message import Message

from nanobanana.redisdb.client import ask, ask_all, get_client
from nanobanana.redisdb.keys import global_key
from nanobanana.redisdb.scripts import Script

NAMESPACE = global_key("{jobs}")
QUEUE = "queue"
DELAYED = f"{QUEUE}.DQ"
FAILED = f"{QUEUE}.XQ"
HEARTBEATS = f"{NAMESPACE}:__heartbeats__"
SCHEDULE = f"{NAMESPACE}:schedule"

HEARTBEAT_EVERY = 5.0  # seconds
DEAD_AFTER = 20.0  # seconds without a heartbeat
FAILURES_KEPT = 7 * 86_400.0  # seconds

UNREADABLE = "What is stored of it cannot be read; it can be dropped."
UNKNOWN = "No worker knows such a job."  # then nobody writes down a reason

SCRIPTS = Path(__file__).parent / "scripts"
_enqueue = Script(SCRIPTS / "enqueue_job.lua")
_drop = Script(SCRIPTS / "drop_job.lua")
_enqueue_due = Script(SCRIPTS / "enqueue_due_jobs.lua")
_recover = Script(SCRIPTS / "recover_jobs.lua")


# What a job can be, and where its message then is; one that runs stands in the queue no more.
STATES = {"waiting": QUEUE, "running": QUEUE, "delayed": DELAYED, "failed": FAILED}


@dataclass(frozen=True)
class Entry:
    """A job in a queue, for people to look at. Times are in milliseconds since 1970."""

    id: str
    name: str
    arguments: dict[str, Any]
    state: str
    since: int  # that it was enqueued first, or that its last try failed
    tries: int  # that failed
    reason: str | None
    due: int | None  # when it is tried again

    @classmethod
    def of(cls, state: str, message: Message[Any]) -> "Entry":
        options = message.options
        return cls(
            id=message.message_id,
            name=message.actor_name,
            arguments=message.kwargs,
            state=state,
            since=options.get("requeue_timestamp", message.message_timestamp),
            tries=options.get("retries", 0),
            reason=options.get("reason") or (UNKNOWN if state == "failed" else None),
            due=options.get("eta") if state == "delayed" else None,
        )


def key_of(queue: str) -> str:
    """Of the ids in a queue; a list, of failures a sorted set by when they failed."""
    return f"{NAMESPACE}:{queue}"


def messages_key(queue: str) -> str:
    """Of the hash of the messages in a queue, those under way too: id → message."""
    return f"{NAMESPACE}:{queue}.msgs"


async def add(message: Message[Any]) -> bool:
    """Put a job into the queue; False when it waits or runs already."""
    keys = (key_of(QUEUE), messages_key(QUEUE), messages_key(DELAYED), key_of(FAILED), messages_key(FAILED))
    return bool(await _enqueue(keys, (message.message_id, message.encode())))


async def add_due(periodic: Iterable[tuple[Message[Any], float]]) -> int:
    """Put those jobs into the queue whose period, in seconds, is over."""
    keys = (
        *(SCHEDULE, key_of(QUEUE), messages_key(QUEUE), messages_key(DELAYED)),
        *(key_of(FAILED), messages_key(FAILED)),
    )
    arguments: list[str | bytes | int] = []
    for message, period in periodic:
        arguments += (message.message_id, round(period * 1000), message.encode())
    return await _enqueue_due(keys, arguments)


async def recover() -> int:
    """Give what dead workers had to the others, and what nobody has; how many jobs it was."""
    now = time.time()
    dead, expired = round((now - DEAD_AFTER) * 1000), round((now - FAILURES_KEPT) * 1000)
    keys = (HEARTBEATS, key_of(FAILED), messages_key(FAILED))
    return await _recover(keys, (NAMESPACE, dead, expired, QUEUE, DELAYED))


async def drop(identifier: str) -> bool:
    """Take a job out of the queue, or out of the failures; False when it is not there, or being done."""
    queues = (QUEUE, DELAYED, FAILED)
    keys = [key for queue in queues for key in (key_of(queue), messages_key(queue))]
    return bool(await _drop(keys, (identifier,)))


async def retry(identifier: str) -> bool:
    """Put a job that failed into the queue again, as if it were new; False when there is none."""
    data = await ask("HGET", messages_key(FAILED), identifier)
    try:
        message = Message.decode((data or "").encode())
    except DecodeError:  # it can only be dropped
        return False
    await add(dataclasses.replace(message, queue_name=QUEUE, options={"redis_message_id": identifier}))
    return True


async def entries(state: str, *, limit: int) -> list[Entry]:
    """So many jobs of a state, those first that come first; of those that failed, the latest."""
    identifiers = await _identifiers(state, limit)
    stored = [await ask("HGET", messages_key(STATES[state]), identifier) for identifier in identifiers]
    return [
        _entry(state, identifier, data or "")
        for identifier, data in zip(identifiers, stored, strict=True)
        if data or state == "failed"
    ]


def _entry(state: str, identifier: str, data: str) -> Entry:
    try:
        return Entry.of(state, Message.decode(data.encode()))
    except DecodeError:
        return Entry(identifier, "?", {}, state, since=0, tries=0, reason=UNREADABLE, due=None)


async def figures() -> dict[str, int]:
    """How many jobs there are of each state."""
    pipeline = get_client().pipeline(transaction=True)  # jobs move from one to another
    pipeline.llen(key_of(QUEUE)).hlen(messages_key(QUEUE)).hlen(messages_key(DELAYED)).zcard(key_of(FAILED))
    waiting, known, delayed, failed = await ask_all(pipeline)
    return {"waiting": waiting, "running": max(0, known - waiting), "delayed": delayed, "failed": failed}


async def workers_alive() -> int:
    since = round((time.time() - DEAD_AFTER) * 1000)
    return await ask("ZCOUNT", HEARTBEATS, since, "+inf")


async def _identifiers(state: str, limit: int) -> list[str]:
    if state == "waiting":
        return await ask("LRANGE", key_of(QUEUE), 0, limit - 1)
    if state == "running":
        return (await _taken_from(QUEUE))[:limit]
    if state == "delayed":
        return (await ask("HKEYS", messages_key(DELAYED)))[:limit]
    return await ask("ZREVRANGE", key_of(FAILED), 0, limit - 1)


async def _taken_from(queue: str) -> list[str]:
    """What workers have taken out of a queue and not done yet."""
    workers = await ask("ZRANGE", HEARTBEATS, 0, -1)
    return [
        each for worker in workers for each in await ask("SMEMBERS", f"{NAMESPACE}:__acks__.{worker}.{queue}")
    ]
