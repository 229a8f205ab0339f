"""A unit of work: what one request changes of one owner, committed by one script, whole or not at all."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Self

import orjson

from nanobanana.redisdb import scripts
from nanobanana.redisdb.event_log import (
    BYTES_CARRIED,
    EVENTS_IN_A_BELL,
    EVENTS_KEPT,
    SECONDS_KEPT,
    Cursor,
    Event,
)
from nanobanana.redisdb.exceptions import CommitRefused, OperationMismatch
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.keys import doorbell_channel, events_key, log_key, operation_key, owner_key
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.scripts import Argument

OWN_OPERATION_KEPT = 60_000  # milliseconds: as long as a retry of the Redis client can take
CLIENT_OPERATION_KEPT = 86_400_000
FIXED_KEYS = 3  # operation, log and events come before the keys of the steps
EVENTS_KEY = 3


@dataclass(frozen=True)
class Operation:
    """A client's name for a request it may repeat, and the fingerprint of that request."""

    id: str
    fingerprint: str

    def key(self, owner_id: str) -> str:
        return operation_key(owner_id, f"client:{self.id}")

    @property
    def mark(self) -> str:
        """The fingerprint as scripts take it, which is never empty."""
        return f"={self.fingerprint}"


class UnitOfWork:
    """Collects expectations, writes and events; `commit` sends them as one script.

    Expectations are checked before anything is written, in the order they were given, and each brings the
    error to raise when it does not hold.
    """

    def __init__(self, owner_id: str, operation: Operation | None = None) -> None:
        self.owner_id = owner_id
        self._prefix = owner_key(owner_id, "")
        self.operation = operation
        self.cursor: Cursor | None = None  # of the newest event, once committed
        self.changed = False  # whether the commit wrote anything
        self._keys: dict[str, int] = {}
        self._renamed: dict[str, str] = {}  # new key → old key
        self._expectations: dict[tuple[Argument, ...], Exception] = {}
        self._writes: list[list[Argument]] = []
        self._events: list[list[Argument]] = []
        self._subjects: dict[str, Model] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.commit()

    # ---- expectations
    def expect_exists(self, target: Model | str, error: Exception | None = None) -> None:
        """The object, or what stands under the key, exists."""
        key = target if isinstance(target, str) else target.key
        self._expect("exists", key, [], error or CommitRefused(f"{key} does not exist"))

    def expect_absent(self, key: str, error: Exception | None = None) -> None:
        self._expect("absent", key, [], error or CommitRefused(f"{key} exists"))

    def expect_equal(self, instance: Model, field: str, error: Exception | None = None) -> None:
        """The stored field still has the value this instance has."""
        arguments = [field, *_value(instance, field, getattr(instance, field))]
        self._expect("equal", instance.key, arguments, error or CommitRefused(f"{field} changed"))

    def expect_at_most(self, instance: Model, field: str, most: int, error: Exception | None = None) -> None:
        """The stored number, 0 where there is none, is no more than `most`."""
        self._expect(
            "at_most", instance.key, [field, most], error or CommitRefused(f"{field} is over {most}")
        )

    def expect_difference(self, key: str, stored: Sequence[Argument], absent: Sequence[str]) -> None:
        """If the hash has all of `[field, value, …]` and none of `absent`, nothing is written or said."""
        self._expect("differs", key, [len(stored) // 2, *stored, *absent], CommitRefused("nothing differs"))

    # ---- writes
    def write(self, step: str, key: str, *arguments: Argument) -> None:
        """Add a write step of `scripts/commit.lua`."""
        self._writes.append([step, self._index_of(key), len(arguments), *arguments])

    def rename(self, key: str, new_key: str) -> None:
        """Give what stands under `key` a new key; what is expected of the new one is asked of the old one."""
        self.expect_exists(key)
        self.write("rename", key, self._index_of(new_key))
        self._renamed[new_key] = key

    def count(self, key: str, field: str, by: int, *, zero_index: str | None, member: str) -> None:
        position = self._index_of(zero_index) if zero_index else 0
        self.write("count", key, field, by, position, member)

    def post(self, step: str, terms_key: str, stem: str, member: str, terms: Sequence[str]) -> None:
        """Add a step on postings, `post` or `unpost`, of all these terms (see `Postings`)."""
        self.write(step, terms_key, self._index_of(stem), member, *terms)

    @contextmanager
    def when(self, instance: Model, field: str, value: object) -> Iterator[None]:
        """The writes inside happen only if the stored field has this value just before the commit."""
        arguments = [field, *_value(instance, field, value)]
        condition: list[Argument] = ["when", self._index_of(instance.key), 1 + len(arguments), 0, *arguments]
        self._writes.append(condition)
        before = len(self._writes)
        yield
        condition[3] = len(self._writes) - before

    # ---- what others hear, and what the caller learns
    def emit(self, event: Event, *subjects: Model) -> None:
        """Tell the owner's devices; the event carries the subjects as they stand after the change."""
        positions = [self._index_of(subject.key) for subject in subjects]
        ids = orjson.dumps(event.ids)
        body: list[Argument] = [event.type, event.audience, ids, len(positions), *positions]
        self._events.append(["event", EVENTS_KEY, len(body), *body])

    def refresh(self, instance: Model) -> None:
        """After the commit, have this instance hold what is stored then."""
        key = instance.key
        self._index_of(key)
        self._subjects[key] = instance

    # ---- commit
    async def commit(self) -> None:
        """Send everything as one script; raise the error of the first expectation that does not hold."""
        result = await scripts.commit(self._all_keys(), self._arguments())
        if result[0] == "mismatch":
            raise OperationMismatch(self.operation.id if self.operation else "")
        if result[0] == "refused":
            raise self._error_of(int(result[1]))
        self.changed = result[0] == "done"
        self.cursor = Cursor(result[1], int(result[2]))
        self._load_subjects(result[3])

    def _load_subjects(self, objects: list) -> None:
        # A repeated request planned new ids for what it creates, and is answered with those of the first one.
        rows = dict(zip(objects[::2], objects[1::2], strict=True))
        new = [subject for key, subject in self._subjects.items() if key not in rows]
        for key, pairs in rows.items():
            subject = self._subjects.get(key) or _take_stand_in(new, key)
            if subject and pairs:
                subject.id = key.rpartition(":")[2]
                subject.load(pairs)

    def _error_of(self, ordinal: int) -> Exception:
        errors = list(self._expectations.values())
        if ordinal <= len(errors):
            return errors[ordinal - 1]
        return CommitRefused("a counter would not be a whole number from 0")

    def _expect(self, step: str, key: str, arguments: Sequence[Argument], error: Exception) -> None:
        index = self._index_of(self._renamed.get(key, key))
        expectation = (step, index, len(arguments), *arguments)
        self._expectations.setdefault(expectation, error)  # the first one's error says it best

    def _index_of(self, key: str) -> int:
        index = self._keys.get(key)
        if index is None:
            if not key.startswith(self._prefix):
                raise ValueError(f"{key} is not of {self.owner_id}, whose unit of work this is.")
            index = self._keys[key] = FIXED_KEYS + len(self._keys) + 1
        return index

    def _all_keys(self) -> list[str]:
        own_key = operation_key(self.owner_id, secrets.token_hex(8))
        key = self.operation.key(self.owner_id) if self.operation else own_key
        return [key, log_key(self.owner_id), events_key(self.owner_id), *self._keys]

    def _arguments(self) -> list[Argument]:
        arguments: list[Argument] = [
            CLIENT_OPERATION_KEPT if self.operation else OWN_OPERATION_KEPT,
            self.operation.mark if self.operation else "",
            milliseconds(now()),
            secrets.token_hex(4),
            EVENTS_KEPT,
            SECONDS_KEPT * 1000,
            doorbell_channel(self.owner_id),
            BYTES_CARRIED,
            EVENTS_IN_A_BELL,
        ]
        for steps in (self._expectations, self._writes, self._snapshots(), self._events):
            arguments += chain.from_iterable(steps)
        return arguments

    def _snapshots(self) -> list[list[Argument]]:
        return [["snapshot", self._index_of(key), 0] for key in self._subjects]


def _value(instance: Model, field: str, value: object) -> list[Argument]:
    """What Redis holds for this value of the field, as `[value]`; [] when the field is absent then."""
    stored = instance.fields[field].write(value)
    return [] if stored is None else [stored]


def _take_stand_in(subjects: list[Model], key: str) -> Model | None:
    """Take the first subject of the kind that `key` names."""
    for position, subject in enumerate(subjects):
        if key.rpartition(":")[0] == subject.key.rpartition(":")[0]:
            return subjects.pop(position)
    return None


def unit_of_work(owner_id: str, operation: Operation | None = None) -> UnitOfWork:
    """`async with unit_of_work(user.id) as work:` commits at the end of the block, unless it raised."""
    return UnitOfWork(owner_id, operation)


async def was_committed(owner_id: str, operation: Operation | None) -> bool:
    """Whether a client's operation was done before; for what its commit would no longer find."""
    if operation is None:
        return False
    found = await scripts.recall([operation.key(owner_id)], [operation.mark])
    if found == "mismatch":
        raise OperationMismatch(operation.id)
    return found == "done"
