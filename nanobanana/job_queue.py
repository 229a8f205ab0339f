"""The queue of jobs as it lies in Redis: dramatiq's layout, in the one slot of `{jobs}`."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dramatiq.message import Message

from nanobanana.redisdb.client import ask
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

SCRIPTS = Path(__file__).parent / "scripts"
_enqueue = Script(SCRIPTS / "enqueue_job.lua")
_enqueue_due = Script(SCRIPTS / "enqueue_due_jobs.lua")
_recover = Script(SCRIPTS / "recover_jobs.lua")


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
    keys = (SCHEDULE, key_of(QUEUE), messages_key(QUEUE), messages_key(DELAYED))
    arguments: list[str | bytes | int] = []
    for message, period in periodic:
        arguments += (message.message_id, round(period * 1000), message.encode())
    return await _enqueue_due(keys, arguments)


async def recover() -> int:
    """Give what dead workers had to the others."""
    now = time.time()
    dead, expired = round((now - DEAD_AFTER) * 1000), round((now - FAILURES_KEPT) * 1000)
    keys = (HEARTBEATS, key_of(FAILED), messages_key(FAILED))
    return await _recover(keys, (NAMESPACE, dead, expired, QUEUE, DELAYED))


async def workers_alive() -> int:
    since = round((time.time() - DEAD_AFTER) * 1000)
    return await ask("ZCOUNT", HEARTBEATS, since, "+inf")
