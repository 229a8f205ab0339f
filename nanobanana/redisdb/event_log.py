"""The event log of an owner: numbered, bounded, written by the commit script together with the change."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import orjson

from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import ask, ask_all, get_client
from nanobanana.redisdb.keys import doorbell_channel, events_key, log_key

EVENTS_KEPT = 500
SECONDS_KEPT = 7 * 86400
BYTES_CARRIED = 4096  # of objects in one event; a larger event carries ids only
EVENTS_IN_A_BELL = 4  # of one commit; a bell of more only says where the log is
ENTRIES_AT_ONCE = 1000


class Event(Protocol):
    """What a unit of work emits: its type, who hears it, and the ids it is about."""

    @property
    def type(self) -> str: ...

    @property
    def audience(self) -> str: ...

    @property
    def ids(self) -> dict[str, str]: ...


class Cursor(NamedTuple):
    """A position in an owner's log. Offsets count within an epoch; another epoch is another log.

    The epoch of an owner without a log is "".
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; ValueError for anything else."""
        match = re.fullmatch(r"([0-9a-f]{0,32}):(0|[1-9][0-9]{0,14})", text)
        if not match:
            raise ValueError("A cursor is the value of `cursor` in a frame, or of X-Sync-Cursor, unchanged.")
        return cls(match[1], int(match[2]))


class LogEntry(NamedTuple):
    """One event as the log holds it; `objects` are (key, hash as pairs) as they stood after the change."""

    cursor: Cursor
    type: str
    audience: str
    ids: dict[str, str]
    milliseconds: int
    partial: bool
    objects: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class LogSlice:
    """The answer to "what came behind this cursor?"; `is_complete` is False when some of it is gone."""

    head: Cursor
    entries: list[LogEntry]
    is_complete: bool


def read_bell(text: str) -> tuple[Cursor, list[LogEntry]]:
    """What a doorbell says: where the log is, and the events that brought it there, if it carries them.

    ValueError, TypeError or KeyError for anything else.
    """
    position, _, carried = text.partition(" ")
    epoch, _, newest = position.partition(":")
    head = Cursor(epoch, int(newest))
    rows = _loads(carried) if carried else []
    first = head.offset - len(rows) + 1
    return head, [_entry(Cursor(epoch, first + number), row) for number, row in enumerate(rows)]


async def read_behind(owner_id: str, cursor: Cursor | None) -> LogSlice:
    """Read the events behind `cursor`, at most ENTRIES_AT_ONCE; None asks for the head alone."""
    since = 2**53 if cursor is None else cursor.offset
    keys = [log_key(owner_id), events_key(owner_id)]
    epoch, newest, rows = await scripts.read_log(keys, [since, ENTRIES_AT_ONCE])
    head = Cursor(epoch, int(newest))
    if cursor is None or cursor == head:
        return LogSlice(head, [], is_complete=True)
    if cursor.epoch != epoch or cursor.offset > head.offset:
        return LogSlice(head, [], is_complete=False)
    entries = [_entry(Cursor(epoch, int(name.partition("-")[0])), parts) for name, parts in rows]
    follows = bool(entries) and [entry.cursor.offset for entry in entries] == list(
        range(cursor.offset + 1, cursor.offset + 1 + len(entries))
    )
    return LogSlice(head, entries if follows else [], is_complete=follows)


async def heads(owner_ids: Sequence[str]) -> list[Cursor]:
    """The newest position of each owner's log, in one round trip; its epoch is "" where there is no log."""
    pipeline = get_client().pipeline(transaction=False)
    for owner_id in owner_ids:
        pipeline.hmget(log_key(owner_id), "epoch", "offset")
    return [Cursor(epoch or "", int(offset or 0)) for epoch, offset in await ask_all(pipeline)]


async def renew_epoch(owner_id: str) -> None:
    """Have all devices read everything anew: what was changed past the log is in no event of it."""
    if (await heads([owner_id]))[0].epoch:
        await ask("HSET", log_key(owner_id), "epoch", new_epoch())
        await ring(owner_id)


async def ring(owner_id: str) -> None:
    """Say where the log is, to all who listen."""
    await ask("PUBLISH", doorbell_channel(owner_id), str((await heads([owner_id]))[0]))


def new_epoch() -> str:
    return secrets.token_hex(4)


def _entry(cursor: Cursor, parts: Sequence[str]) -> LogEntry:
    """From `[name, value, …, "@", key, field, value, …, "@", key, …]`, as scripts/commit.lua makes it."""
    starts = [at for at in range(0, len(parts), 2) if parts[at] == "@"]
    ends = [*starts[1:], len(parts)]
    head = parts[: starts[0]] if starts else parts
    names = dict(zip(head[::2], head[1::2], strict=True))
    return LogEntry(
        cursor=cursor,
        type=names["type"],
        audience=names["audience"],
        ids=orjson.loads(names["ids"]),
        milliseconds=int(names["at"]),
        partial="partial" in names,
        objects=[
            (parts[start + 1], list(parts[start + 2 : end])) for start, end in zip(starts, ends, strict=True)
        ]
        if starts
        else [],
    )


def _loads(text: str) -> Any:
    """JSON in which bytes that are no UTF-8 may stand, as surrogates: only the slower parser takes those."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
