"""All that an owner has, taken out of a database, and put into one of any kind.

Only what cannot be derived is taken: objects, and sorted sets that no object calls for. Indexes, postings and
lists of terms are written anew from the objects, as the models declare them; what has a life of minutes, and
events, are left out.

Keys are read in transactions of KEYS_AT_ONE_MOMENT, so most owners as they are at one moment. An object that
can move is read under all keys that it can have at once, and what something refers to is taken along: nothing
is lost that was there at the beginning. Counts may differ then; whoever puts it back has them counted.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nanobanana.redisdb.checking import Checker, references_of, types_of
from nanobanana.redisdb.claims import Listed, batches, placements_of, readable, referred
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.event_log import new_epoch
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.keys import log_key, owner_key, split_owner_key
from nanobanana.redisdb.models import Model

KEYS_AT_ONE_MOMENT = 2000
WRITTEN_AT_ONCE = 200
Places = tuple[str, ...]  # keys, of which one is there
READS = {"hash": ("HGETALL",), "zset": ("ZRANGE", 0, -1, "WITHSCORES")}


@dataclass(frozen=True)
class Record:
    """One key: its name behind the owner's tag, and what it holds.

    `parts` are fields and values, or members and scores, in turn. `ends` is when Redis lets it go, in
    milliseconds since 1970.
    """

    type: str
    name: str
    ends: int | None
    parts: list[str]


class Snapshots:
    """Of owners whose keys a checker knows."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker

    # ---- taking
    async def take(self, owner_id: str, keys: Sequence[str]) -> AsyncIterator[Record]:
        """The records of an owner whose keys these are; the objects under the owner's own id come last."""
        types = {key: type for key, type in (await types_of(keys)).items() if self._is_taken(key, type)}
        last = {self._places(key): types.pop(key) for key in sorted(types) if key.endswith(f":{owner_id}")}
        wanted = {self._places(key): type for key, type in types.items()}
        known = {*wanted, *last}
        while wanted:
            referred: dict[Places, str] = {}
            for some in batches(wanted.items(), KEYS_AT_ONE_MOMENT):
                for record in await self._read(dict(some)):
                    yield record
                    referred |= {self._places(key): "hash" for key in self._referred(owner_id, record)}
            wanted = {places: type for places, type in referred.items() if places not in known}
            known |= wanted.keys()
        for record in await self._read(last):
            yield record

    def _is_taken(self, key: str, type: str) -> bool:
        owner_id, name = split_owner_key(key)
        if type not in READS:
            return False
        is_derived = any(family.is_derived for _, family in self.checker.families_of(key))
        return key == log_key(owner_id) or (name not in self.checker.passing and not is_derived)

    async def _read(self, wanted: dict[Places, str]) -> list[Record]:
        """The records at one moment; what is not there has none."""
        commands = [(key, READS[type]) for places, type in wanted.items() for key in places]
        pipeline = get_client().pipeline(transaction=True)
        for key, (command, *span) in commands:
            pipeline.execute_command(command, key, *span)
            pipeline.pttl(key)
        replies = iter(await pipeline.execute() if commands else [])
        moment = milliseconds(now())
        found = []
        for key, (command, *_) in commands:
            parts, life = _flat(next(replies)), next(replies)
            ends = moment + life if life > 0 else None
            if parts:
                type = "hash" if command == "HGETALL" else "zset"
                found.append(Record(type, split_owner_key(key)[1], ends, parts))
        return found

    def _places(self, key: str) -> Places:
        """The keys of which one has the object, whatever kind it is by now; of others, the key alone."""
        named = self.checker.object_of(key)
        if named is None:
            return (key,)
        model, identifier = named
        root = min((kind for kind in self.checker.models if issubclass(model, kind)), key=_depth)
        kinds = self.checker.kinds_of(root.kind)
        return tuple(kind.key_prefix(split_owner_key(key)[0]) + identifier for kind in kinds)

    def _referred(self, owner_id: str, record: Record) -> Iterator[str]:
        instance = self.instance_of(owner_id, record)
        if instance is not None:
            for name, reference in references_of(instance):
                for kind in self.checker.kinds_of(reference.to):
                    yield from (kind.key_prefix(owner_id) + target for target in referred(instance, name))

    def instance_of(self, owner_id: str, record: Record) -> Model | None:
        """The object of a record, if it is one that can be read."""
        named = self.checker.object_of(owner_key(owner_id, record.name)) if record.type == "hash" else None
        if named is None:
            return None
        stored = dict(zip(record.parts[::2], record.parts[1::2], strict=True))
        return readable(named[0], owner_id, named[1], stored)

    # ---- putting
    async def put(self, owner_id: str, records: Iterable[Record], names: set[str]) -> list[str]:
        """Write the records, in their order, and all that follows from them; the keys that were written.

        `names` are those of all records: an object is left out that cannot be without one that is not there.
        What was written before is written again, so it can be repeated.
        """
        written: dict[str, None] = {}
        for some in batches(records, WRITTEN_AT_ONCE):
            pipeline = get_client().pipeline(transaction=True)
            for record in some:
                instance = self.instance_of(owner_id, record)
                if instance is None or self._is_held(instance, names):
                    self._write(pipeline, owner_id, record)
                    written[owner_key(owner_id, record.name)] = None
                    for key, score, member in self._entries(instance, written):
                        pipeline.zadd(key, {member: score})
                        written[key] = None
            await pipeline.execute()
        return list(written)

    def _is_held(self, instance: Model, names: set[str]) -> bool:
        """Whether what its fields refer to is there; entries of lists can be left out."""
        for name, reference in references_of(instance):
            kinds = self.checker.kinds_of(reference.to)
            for target in [] if isinstance(getattr(instance, name), list) else referred(instance, name):
                if not any(f"{kind.kind}:{target}" in names for kind in kinds):
                    return False
        return True

    def _write(self, pipeline: Any, owner_id: str, record: Record) -> None:
        key = owner_key(owner_id, record.name)
        pipeline.unlink(key)
        if record.type == "hash":
            pipeline.execute_command("HSET", key, *_with_new_epoch(key, owner_id, record.parts))
        else:
            pairs = zip(record.parts[1::2], record.parts[::2], strict=True)
            pipeline.execute_command("ZADD", key, *[part for pair in pairs for part in pair])
        if record.ends is not None:
            pipeline.execute_command("PEXPIREAT", key, record.ends)

    def _entries(
        self, instance: Model | None, written: dict[str, None]
    ) -> Iterator[tuple[str, str | int, str]]:
        """(key, score, member) of all that an object calls for; of lists of names, once."""
        placements = placements_of(instance) if instance is not None else None
        for key, score in (placements or {}).items():
            if key not in written:
                yield from self._listings(split_owner_key(key)[0], key)
            yield key, milliseconds(now()) if score is None else score, instance.id  # type: ignore[union-attr]

    def _listings(self, owner_id: str, key: str) -> Iterator[tuple[str, str | int, str]]:
        for _, family in self.checker.families_of(key):
            for claim in family.of_key(owner_id, key) if family.of_key else ():
                if isinstance(claim, Listed):
                    yield claim.key, 0, claim.member


def _depth(model: type[Model]) -> int:
    return len(model.__mro__)


def _with_new_epoch(key: str, owner_id: str, parts: list[str]) -> list[str]:
    """A log goes on as another one, so that devices load everything anew."""
    if key != log_key(owner_id):
        return parts
    stored = dict(zip(parts[::2], parts[1::2], strict=True))
    return ["epoch", new_epoch(), "offset", stored.get("offset", "0")]


def _flat(reply: Any) -> list[str]:
    if isinstance(reply, dict):
        return [part for pair in reply.items() for part in pair]
    return list(reply)
