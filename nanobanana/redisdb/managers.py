"""Managers: how objects are stored and found. They hold no rule of any application.

Reads are coroutines with Django's `a…` names; writes add steps to a unit of work.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Generic, TypeVar

from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import ask, get_client
from nanobanana.redisdb.exceptions import DoesNotExist, FieldError
from nanobanana.redisdb.families import ID, Family
from nanobanana.redisdb.fields import CounterField, ReferenceField, ReferenceListField
from nanobanana.redisdb.ids import EPOCH, MILLISECOND, is_id
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.keys import owner_key, split_owner_key
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.unit_of_work import UnitOfWork

M = TypeVar("M", bound=Model)
T = TypeVar("T")
Related = dict[str, list[str]]  # key → hash as pairs, of the objects that the ones read refer to
SCAN_COUNT = 500


@dataclass(frozen=True)
class Window:
    """Which part of an index to read: from an offset, or behind an entry (its score and id)."""

    limit: int
    offset: int = 0
    descending: bool = False
    behind: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.offset < 0:
            raise ValueError(f"A window has a limit from 1 and an offset from 0, not {self}.")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of an index. `first` is the rank of its first object; `total` counts the whole index."""

    objects: list[T]
    total: int
    first: int
    related: Related = field(default_factory=dict)
    vanished: int = 0  # entries of the index without an object, which a check should look into

    @property
    def has_more(self) -> bool:
        return self.first + len(self.objects) + self.vanished < self.total


class Manager(Generic[M]):
    """The default manager: `objects = Manager()` in the body of a model."""

    model: type[M]

    def __set_name__(self, owner: type[M], name: str) -> None:
        self.model = owner

    # ---- reading
    async def aget(self, owner_id: str, id: str, *, required: Model | str | None = None) -> M:
        """Read one object; DoesNotExist when it, or what is `required`, is absent."""
        page = await self.aget_many(owner_id, [id], required=required)
        if not page.objects:
            raise DoesNotExist(f"{self.model.kind} {id}")
        return page.objects[0]

    async def aget_with_related(
        self, owner_id: str, id: str, *, related: Sequence[str] = ()
    ) -> tuple[M, Related]:
        """Read one object and those its fields `related` refer to, in one round trip."""
        page = await self.aget_many(owner_id, [id], related=related)
        if not page.objects:
            raise DoesNotExist(f"{self.model.kind} {id}")
        return page.objects[0], page.related

    async def aget_many(
        self,
        owner_id: str,
        ids: Sequence[str],
        *,
        required: Model | str | None = None,
        related: Sequence[str] = (),
    ) -> Page[M]:
        """Read the objects of these ids that exist, in their order, in one round trip."""
        for identifier in ids:
            self.model.check_ids(owner_id, identifier)
        keys = [owner_key(owner_id, self.model.kind), *_key_of(required)]
        return await self._fetch(owner_id, keys, ["ids", "", "", "", ""], related, ids)

    async def apage(
        self,
        owner_id: str,
        index: str,
        window: Window,
        *,
        required: Model | str | None = None,
        related: Sequence[str] = (),
    ) -> Page[M]:
        """Read a window of an index, in one round trip; DoesNotExist when `required` does not exist."""
        keys = [owner_key(owner_id, index), *_key_of(required)]
        return await self._fetch(owner_id, keys, arguments_of(window), related, ())

    async def _fetch(
        self,
        owner_id: str,
        keys: list[str],
        window: list,
        related: Sequence[str],
        ids: Sequence[str],
        script: scripts.Script = scripts.fetch,
    ) -> Page[M]:
        """The objects that `script` finds, which takes and answers what `scripts/fetch.lua` does."""
        prefix, relations = self.model.key_prefix(owner_id), self._relations(owner_id, related)
        missing, *answer = await script(keys, [prefix, *window, *relations, *ids])
        if missing:
            raise DoesNotExist(keys[missing])
        total, first, rows, related_rows = answer
        return self._page(owner_id, total, first, rows, related_rows)

    def _page(self, owner_id: str, total: int, first: int, rows: list, related_rows: list) -> Page[M]:
        objects = [
            self.model.from_hash(owner_id, identifier, pairs)
            for identifier, pairs in zip(rows[::2], rows[1::2], strict=True)
            if pairs
        ]
        found = {
            key: pairs for key, pairs in zip(related_rows[::2], related_rows[1::2], strict=True) if pairs
        }
        return Page(objects, total, first, found, vanished=len(rows) // 2 - len(objects))

    def _relations(self, owner_id: str, related: Sequence[str]) -> list[str | int]:
        """What scripts take to read related objects: how many fields, then each with its keys' beginning."""
        pairs = [(name, self._related_prefix(owner_id, name)) for name in related]
        return [len(pairs), *chain.from_iterable(pairs)]

    def _related_prefix(self, owner_id: str, name: str) -> str:
        reference = self.model.fields[name]
        assert isinstance(reference, ReferenceField | ReferenceListField), name
        return owner_key(owner_id, reference.to, "")

    async def acount(self, owner_id: str, index: str) -> int:
        """How many objects an index lists."""
        return await ask("ZCARD", owner_key(owner_id, index))

    async def ids(self, owner_id: str, index: str, *, first: int, limit: int) -> list[str]:
        """The ids of a part of an index, lowest score first."""
        key = owner_key(owner_id, index)
        return await ask("ZRANGE", key, first, first + limit - 1)

    async def ids_up_to(self, owner_id: str, index: str, *, score: int, limit: int) -> list[str]:
        """The ids whose score is at most `score`, lowest first."""
        key = owner_key(owner_id, index)
        return await ask("ZRANGEBYSCORE", key, "-inf", score, "LIMIT", 0, limit)

    async def earliest(self, owner_id: str, index: str) -> datetime | None:
        """The lowest score of an index that sorts by moments."""
        entries = await ask("ZRANGE", owner_key(owner_id, index), 0, 0, "WITHSCORES")
        return EPOCH + int(float(entries[1])) * MILLISECOND if entries else None

    async def entries_in_all(self, owner_id: str, index: str, others: Sequence[str]) -> list[tuple[int, str]]:
        """The entries of an index that all the others list too, as (score, id), highest first."""
        keys = [owner_key(owner_id, name) for name in (index, *others)]
        found = await scripts.intersect(keys)
        entries = zip(map(int, found[1::2]), found[::2], strict=True)
        return sorted(entries, reverse=True)

    async def aiterate(
        self,
        advance: Callable[[int], None] = lambda _: None,
        pass_over: Callable[[str, FieldError], None] | None = None,
    ) -> AsyncIterator[M]:
        """Every object of every owner, in no order, for commands: SCAN, never a blocking KEYS.

        An object that comes or goes meanwhile may be left out; one that stays is given at least once.
        `advance` counts the keys of the database that were gone over, about. One that cannot be read is told
        `pass_over`, by its id; without that, it ends the walk.
        """
        client, cursor = get_client(), None
        while cursor != 0:
            cursor, keys = await client.scan(
                cursor or 0, match=self.model.key_prefix("*") + "*", count=SCAN_COUNT, _type="HASH"
            )
            for instance in await self._read(keys, pass_over):
                yield instance
            advance(SCAN_COUNT)

    async def _read(
        self, keys: Sequence[str], pass_over: Callable[[str, FieldError], None] | None
    ) -> list[M]:
        """The objects under those of the keys that are keys of objects, in one round trip."""
        names = [name for key in keys if (name := self._name_of(key))]
        pipeline = get_client().pipeline(transaction=False)
        for owner_id, identifier in names:
            pipeline.hgetall(self.model.key_prefix(owner_id) + identifier)
        found = []
        for (owner_id, identifier), stored in zip(names, await pipeline.execute(), strict=True):
            try:
                if stored:
                    pairs = list(chain.from_iterable(stored.items()))
                    found.append(self.model.from_hash(owner_id, identifier, pairs))
            except FieldError as error:
                if pass_over is None:
                    raise
                pass_over(identifier, error)
        return found

    def _name_of(self, key: str) -> tuple[str, str] | None:
        """(owner id, id) from the key of an object; None from the key of something else."""
        owner_id, rest = split_owner_key(key)
        kind, _, identifier = rest.rpartition(":")
        return (owner_id, identifier) if kind == self.model.kind and is_id(identifier) else None

    # ---- for checks
    def placements(self, instance: M) -> dict[str, str | None]:
        """All sorted sets in which an object that was read stands: {key: score, None for any}."""
        entries: dict[str, str | None] = {}
        for index in self.model.indexes:
            entries |= index.entries_of(instance)
        for counter in self._zero_counters:
            if getattr(instance, counter.name) == 0:
                entries[owner_key(instance.owner_id, str(counter.zero_index))] = None
        return entries

    def families(self) -> Iterator[Family]:
        """The keys besides those of the objects themselves, by their form."""
        for index in self.model.indexes:
            yield Family(self._form_of(index), is_placed=True)
        for counter in self._zero_counters:
            yield Family(re.escape(str(counter.zero_index)), is_placed=True)

    def excuses(self, instance: M, key: str) -> Sequence[str]:
        """Keys that excuse, while one of them exists, that `key` does not list the object."""
        return ()

    def _form_of(self, index: Index) -> str:
        parts = re.split(r"{(\w+)}", index.name)  # text and names of fields in turn
        forms = {
            name: ID if isinstance(self.model.fields[name], ReferenceField) else ".+" for name in index.named
        }
        return "".join(forms[part] if at % 2 else re.escape(part) for at, part in enumerate(parts))

    # ---- writing
    def create(self, work: UnitOfWork, instance: M) -> None:
        """Store a new object with its index entries; the instance is complete afterwards."""
        values = instance.__dict__
        for name, declared in self.model.fields.items():
            if name not in values:
                values[name] = declared.initial()
        stored, _ = self._split({name: values[name] for name in self.model.fields})
        key = instance.key
        work.expect_absent(key)
        work.write("set", key, *stored)
        self.index(work, instance)
        for counter in self._zero_counters:
            work.count(key, counter.name, 0, **self._counting(instance, counter))
        work.refresh(instance)

    def index(self, work: UnitOfWork, instance: M) -> None:
        """Write the index entries of an object whose fields are known."""
        for index in self.model.indexes:
            for key, score in index.entries_of(instance).items():
                work.write("index", key, score, instance.id)

    def update(self, work: UnitOfWork, instance: M, **changes: Any) -> None:
        """Write these fields and the index entries they move; other fields keep what others wrote.

        A field that places the object in an index can only change on an instance that was read, and only if
        it still has the value that was read.
        """
        self._refuse_counters(changes)
        stored, absent = self._split(changes)
        key = instance.key
        work.expect_exists(instance)
        if stored:
            work.write("set", key, *stored)
        if absent:
            work.write("unset", key, *absent)
        for index in self.model.indexes:
            self._move(work, index, instance, changes)
        work.refresh(instance)

    def update_if_different(
        self, work: UnitOfWork, instance: M, changes: dict[str, Any], **besides: Any
    ) -> None:
        """The same, but if every one of these fields has its value already, the unit of work does nothing.

        The fields `besides` are written along, and count as no difference.
        """
        stored, absent = self._split(changes)
        work.expect_difference(instance.key, stored, absent)
        self.update(work, instance, **{**besides, **changes})

    def add(self, work: UnitOfWork, instance: M, **differences: int) -> None:
        """Change counters by a difference; never below zero."""
        work.expect_exists(instance)
        for name, by in differences.items():
            counter = self.model.fields[name]
            assert isinstance(counter, CounterField), name
            if not isinstance(by, int):
                raise FieldError(f"{name} changes by a whole number, not {by!r:.80}.")
            work.count(instance.key, name, by, **self._counting(instance, counter))
        work.refresh(instance)

    def delete(self, work: UnitOfWork, instance: M) -> None:
        """Remove the object, which must have been read and not moved since, and its index entries."""
        self.unindex(work, instance)
        work.write("delete", instance.key)
        self._leave_zero_indexes(work, instance)

    def unindex(self, work: UnitOfWork, instance: M) -> None:
        """Remove the index entries of an object, which must have been read and not moved since."""
        work.expect_exists(instance)
        for index in self.model.indexes:
            for name in index.scope:
                work.expect_equal(instance, name)
        self._remove_entries(work, instance)

    def discard(self, work: UnitOfWork, instance: M) -> None:
        """Remove what is left of an object that was read, for removals repeated until they are done."""
        work.write("delete", instance.key)
        self._remove_entries(work, instance)
        self._leave_zero_indexes(work, instance)

    def _remove_entries(self, work: UnitOfWork, instance: M) -> None:
        for index in self.model.indexes:
            for key in index.keys_of(instance.owner_id, instance.__dict__):
                work.write("unindex", key, instance.id)

    def _leave_zero_indexes(self, work: UnitOfWork, instance: M) -> None:
        for counter in self._zero_counters:
            work.write("unindex", owner_key(instance.owner_id, str(counter.zero_index)), instance.id)

    def remove_ids(self, work: UnitOfWork, index: str, ids: Sequence[str]) -> None:
        """Remove objects by id, with their entries in this one index; those that are gone are no matter."""
        for identifier in ids:
            work.write("delete", self.model.key_prefix(work.owner_id) + identifier)
        if ids:
            work.write("unindex", owner_key(work.owner_id, index), *ids)

    def _move(self, work: UnitOfWork, index: Index, instance: M, changes: dict[str, Any]) -> None:
        if not index.places.isdisjoint(changes):
            self._replace_entries(work, index, instance, changes)
        elif index.score in changes:
            self._sort_anew(work, index, instance, changes)

    def _replace_entries(self, work: UnitOfWork, index: Index, instance: M, changes: dict[str, Any]) -> None:
        before, values = instance.__dict__, {**instance.__dict__, **changes}
        for name in [*index.scope, *(name for name in index.order if name not in changes)]:
            work.expect_equal(instance, name)
        after = index.keys_of(instance.owner_id, values)
        for key in index.keys_of(instance.owner_id, before):
            if key not in after:
                work.write("unindex", key, instance.id)
        for key in after:
            work.write("index", key, index.score_in(values), instance.id)

    def _sort_anew(self, work: UnitOfWork, index: Index, instance: M, changes: dict[str, Any]) -> None:
        """Give the entry another score, if there is one and it does not lead; neither need be known."""
        for name in index.named:
            work.expect_equal(instance, name)
        key = index.key(instance.owner_id, **{name: getattr(instance, name) for name in index.named})
        step = "rescore" if index.conditions else "index"
        score = index.score_in({**dict.fromkeys(index.order), index.score: changes[index.score]})
        with work.when(instance, index.lead, None) if index.lead else nullcontext():
            work.write(step, key, score, instance.id)

    def _split(self, values: dict[str, Any]) -> tuple[list[str | bytes], list[str]]:
        """Values as what to set, `[field, value, …]`, and what to remove."""
        stored: list[str | bytes] = []
        absent: list[str] = []
        for name, value in values.items():
            if name not in self.model.fields:
                raise FieldError(f"{self.model.__name__} has no field {name}.")
            written = self.model.fields[name].write(value)
            if written is None:
                absent.append(name)
            else:
                stored += (name, written)
        return stored, absent

    def _refuse_counters(self, changes: Iterable[str]) -> None:
        for name in changes:
            if isinstance(self.model.fields.get(name), CounterField):
                raise FieldError(f"{name} is a counter: it changes by a difference.")

    @cached_property
    def _zero_counters(self) -> list[CounterField]:
        return [
            declared
            for declared in self.model.fields.values()
            if isinstance(declared, CounterField) and declared.zero_index
        ]

    def _counting(self, instance: M, counter: CounterField) -> dict[str, Any]:
        zero_index = owner_key(instance.owner_id, counter.zero_index) if counter.zero_index else None
        return {"zero_index": zero_index, "member": instance.id}


def arguments_of(window: Window) -> list:
    """A window as scripts take it: order, offset, limit, score and id to start behind."""
    order = "desc" if window.descending else "asc"
    score, identifier = window.behind or ("", "")
    return [order, window.offset, window.limit, score, identifier]


def _key_of(required: Model | str | None) -> list[str]:
    if required is None:
        return []
    return [required if isinstance(required, str) else required.key]


def from_related(model: type[M], owner_id: str, ids: Collection[str], related: Related) -> list[M]:
    """The objects of these ids among the related ones, in the order of the ids; the absent are left out."""
    if not ids:
        return []
    prefix = model.key_prefix(owner_id)
    return [
        model.from_hash(owner_id, identifier, related[prefix + identifier])
        for identifier in ids
        if prefix + identifier in related
    ]
