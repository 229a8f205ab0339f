"""The event log of an owner: numbered, bounded, written by the commit script together with the change."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import ask_all, get_client
from nanobanana.redisdb.keys import events_key, log_key

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


@dataclass(frozen=True, order=True)
class Cursor:
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


@dataclass(frozen=True)
class LogEntry:
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
    head = Cursor.parse(position)
    rows = json.loads(carried) if carried else []
    first = head.offset - len(rows) + 1
    return head, [_entry(head.epoch, (str(first + number), row)) for number, row in enumerate(rows)]


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
    entries = [_entry(epoch, row) for row in rows]
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


def _entry(epoch: str, row: Sequence[Any]) -> LogEntry:
    identifier, parts = row
    head: dict[str, str] = {}
    objects: list[tuple[str, list[str]]] = []
    for name, value in _pairs(parts):
        if name == "@":
            objects.append((value, []))
        elif objects:
            objects[-1][1].extend((name, value))
        else:
            head[name] = value
    return LogEntry(
        cursor=Cursor(epoch, int(identifier.partition("-")[0])),
        type=head["type"],
        audience=head["audience"],
        ids=json.loads(head["ids"]),
        milliseconds=int(head["at"]),
        partial="partial" in head,
        objects=objects,
    )


def _pairs(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(parts[::2], parts[1::2], strict=True)
