"""Whether everything an owner has agrees with itself, as the models declare it; and mending what does not.

What a check rests on is declared once, where it is used: indexes, postings, references, and what counters
count (`CounterField(counts=…)`). A new one is checked without new code. Managers add what only they know:
`placements`, `families`, `excuses`.

What is looked at piece by piece is only suspected; a suspicion becomes a fault when a claim, judged at one
moment, does not hold (claims.py). A count is counted again while its object is watched: whoever changes what
it counts changes it in the same commit.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from redis.exceptions import ResponseError, WatchError

from nanobanana.redisdb.claims import (
    Claim,
    Entry,
    Fault,
    KnownKey,
    Reference,
    Sound,
    Unsettled,
    WholeLog,
    batches,
    judge_all,
    mend,
    placements_of,
    readable,
    referred,
)
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.exceptions import says_wrong_type
from nanobanana.redisdb.families import Family
from nanobanana.redisdb.fields import CounterField, Nullable, ReferenceField, ReferenceListField
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.keys import split_owner_key
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.tallies import References, Tally

READ_AT_ONCE = 200
COMMANDS_AT_ONCE = 2000
SUSPECTED_AT_ONCE = 500
ROUNDS = 4  # what is put right can change what is counted, and the other way round
TRIES = 6  # to count what others change at the same time

Placed = tuple[str, str, str | None]  # key, member, score


@dataclass
class Findings:
    """Faults that stand, those that were mended, and what changed too often to be judged."""

    faults: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    owners: int = 0

    def add(self, other: "Findings") -> None:
        self.faults += other.faults
        self.mended += other.mended
        self.unsettled += other.unsettled
        self.owners += other.owners

    async def note(self, outcome: Awaitable[Fault | None], *, is_mended: bool) -> None:
        """Add the fault that was found, if any was."""
        try:
            fault = await outcome
        except Unsettled as error:
            self.unsettled.append(str(error))
            return
        if fault:
            self.found(fault.sentence, is_mended=is_mended)

    def found(self, sentence: str, *, is_mended: bool) -> None:
        (self.mended if is_mended else self.faults).append(sentence)

    def shown(self, most: int) -> list[str]:
        """All sentences, so many of each kind at most."""
        kinds = {"Mended: ": self.mended, "": self.faults, "Not judged: ": self.unsettled}
        return list(chain.from_iterable(_shown(word, found, most) for word, found in kinds.items()))


def _shown(word: str, sentences: list[str], most: int) -> list[str]:
    more = len(sentences) - most
    shown = [f"{word}{sentence}" for sentence in sentences[:most]]
    return [*shown, f"… and {more} more; --json has them all."] if more > 0 else shown


class Checker:
    """Knows the models of a database; `passing` are names of keys of owners that nothing is said about."""

    def __init__(self, models: Sequence[type[Model]], passing: Sequence[str] = ()) -> None:
        self.models = models
        self.kinds = {model.kind: model for model in models}
        self.passing = frozenset({*passing, "log", "events"})

    async def check(self, owner_id: str, keys: Sequence[str], *, repair: bool = False) -> Findings:
        """What is wrong with an owner whose keys these are; with `repair`, what can be mended is."""
        mended: list[str] = []
        every = dict.fromkeys(keys)
        for _ in range(ROUNDS if repair else 1):
            found = await self._look(owner_id, every, repair)
            mended += found.mended
            if not found.mended:
                break
        return Findings(found.faults, mended, found.unsettled)

    async def _look(self, owner_id: str, keys: dict[str, None], repair: bool) -> Findings:
        """One round; the keys that it writes are among `keys` from then on."""
        findings, look = Findings(), Look(self, owner_id, list(keys))
        async for suspected in look.suspicions():
            for claim, fault in await judge_all(suspected):
                if repair and fault.repair:
                    await findings.note(mend(claim), is_mended=True)
                    keys |= dict.fromkeys(str(command[1]) for command in fault.repair)
                else:
                    findings.found(fault.sentence, is_mended=False)
        for miscount in look.miscounts():
            await findings.note(miscount.settle(repair=repair), is_mended=repair)
        return findings

    # ---- what the models say
    @cached_property
    def _families(self) -> list[tuple[re.Pattern[str], type[Model], Family]]:
        declared = [(model, family) for model in self.models for family in model.objects.families()]
        return [(re.compile(family.pattern, re.DOTALL), model, family) for model, family in declared]

    def families_of(self, key: str) -> list[tuple[type[Model], Family]]:
        """The families that a key is of, each with its model."""
        name = split_owner_key(key)[1]
        return [(model, family) for pattern, model, family in self._families if pattern.fullmatch(name)]

    def object_of(self, key: str) -> tuple[type[Model], str] | None:
        """The model and the id that the key of an object says."""
        kind, _, identifier = split_owner_key(key)[1].rpartition(":")
        return (self.kinds[kind], identifier) if kind in self.kinds and is_id(identifier) else None

    def kinds_of(self, kind: str) -> list[type[Model]]:
        """The models that references to a kind may mean: it, and those under other keys."""
        return [model for model in self.models if issubclass(model, self.kinds[kind])]

    @cached_property
    def counters(self) -> dict[str, list[tuple[CounterField, Tally]]]:
        """By kind, the counters that say what they count."""
        return {
            kind: [
                (declared, declared.counts)
                for declared in model.fields.values()
                if isinstance(declared, CounterField) and declared.counts
            ]
            for kind, model in self.kinds.items()
        }

    @cached_property
    def tallies(self) -> dict[str, list[Tally]]:
        """By kind, what is counted of its objects."""
        every = dict.fromkeys(tally for declared in self.counters.values() for _, tally in declared)
        found: dict[str, list[Tally]] = defaultdict(list)
        for tally in every:
            for model in self.kinds_of(tally.kind):
                found[model.kind].append(tally)
        return found

    async def ids_of(self, owner_id: str, model: type[Model]) -> set[str]:
        """The ids of all objects of a model, by the lists that they stand in."""
        ids = set(await self._listed(owner_id, [model]))
        for index in model.indexes:
            reference = model.fields.get(index.named[0]) if len(index.named) == 1 else None
            if isinstance(reference, ReferenceField):
                parents = await self._listed(owner_id, self.kinds_of(reference.to))
                keys = [index.key(owner_id, **{reference.name: parent}) for parent in parents]
                for some in batches(keys, READ_AT_ONCE):
                    ids.update(await _members(some))
        return ids

    async def _listed(self, owner_id: str, models: Iterable[type[Model]]) -> list[str]:
        """What stands in the lists of all of these models, at one moment."""
        lists = [index for model in models for index in model.indexes if not index.named]
        return await _members([index.key(owner_id) for index in lists])


class Look:
    """One look at what an owner has, piece by piece: what seems wrong, and how much there is of what."""

    def __init__(self, checker: Checker, owner_id: str, keys: Sequence[str]) -> None:
        self.checker, self.owner_id = checker, owner_id
        self.keys = dict.fromkeys(keys)
        self.scanned: dict[str, set[str]] = defaultdict(set)  # ids by kind
        self._expected: Counter[str] = Counter()  # how many entries each sorted set should have
        self._lacking: set[str] = set()  # sorted sets that lack one
        self._counted: dict[tuple[str, str], dict[str, int]] = {}  # what the counters of an object say
        self._tallied: dict[Tally, Counter[str]] = defaultdict(Counter)

    async def suspicions(self) -> AsyncIterator[list[Claim]]:
        """Claims that may not hold, some at a time."""
        pending: dict[Claim, None] = {}
        async for claims in self._suspicions():
            pending |= dict.fromkeys(claims)
            if len(pending) >= SUSPECTED_AT_ONCE:
                yield list(pending)
                pending.clear()
        yield list(pending)

    def miscounts(self) -> "Iterator[Miscount]":
        """Once all was looked at: what does not seem to be counted right."""
        for (kind, identifier), says in self._counted.items():
            for counter, tally in self.checker.counters[kind]:
                if says[counter.name] != self._tallied[tally][identifier]:
                    yield Miscount(self, self.checker.kinds[kind], identifier, counter.name, tally)
        yield from self._uncounted()

    def _uncounted(self) -> "Iterator[Miscount]":
        """Totals of an owner who has none stored."""
        for kind, declared in self.checker.counters.items():
            for counter, tally in declared:
                stands = isinstance(tally, References) or (kind, self.owner_id) in self._counted
                if not stands and self._tallied[tally][self.owner_id]:
                    yield Miscount(self, self.checker.kinds[kind], self.owner_id, counter.name, tally)

    async def _suspicions(self) -> AsyncIterator[list[Claim]]:
        types = await types_of(list(self.keys))
        yield [WholeLog(self.owner_id)]
        for some in batches((key for key, type in types.items() if type == "hash"), READ_AT_ONCE):
            yield await self._hashes(some)
        for key, type in types.items():
            if type == "zset":
                async for claims in self._sorted_set(key):
                    yield claims
            elif type not in {"hash", "none"}:
                yield self._of_other_type(key)

    # ---- hashes
    async def _hashes(self, keys: Sequence[str]) -> list[Claim]:
        objects = {key: named for key in keys if (named := self.checker.object_of(key))}
        claims = [claim for key in keys if key not in objects for claim in self._claims_of(key)]
        instances = []
        for (model, identifier), stored in zip(objects.values(), await _read(list(objects)), strict=True):
            self.scanned[model.kind].add(identifier)
            instance = readable(model, self.owner_id, identifier, stored)
            if instance is None or next(iter(instance.flaws()), None):
                claims.append(Sound(model, self.owner_id, identifier))
            if instance is not None:
                instances.append(instance)
        return claims + await self._objects(instances)

    def _of_other_type(self, key: str) -> list[Claim]:
        """Many things that pass are strings; where an object should be, or what belongs to some, none is."""
        is_known = self.checker.object_of(key) or self.checker.families_of(key)
        return self._claims_of(key) if is_known else []

    def _claims_of(self, key: str) -> list[Claim]:
        """What the name of a key alone claims."""
        named = self.checker.object_of(key)
        if named:
            return [Sound(named[0], self.owner_id, named[1])]
        if split_owner_key(key)[1] in self.checker.passing:
            return []
        families = self.checker.families_of(key)
        of_keys = [family.of_key(self.owner_id, key) for _, family in families if family.of_key]
        return list(chain.from_iterable(of_keys)) if families else [KnownKey(key)]

    async def _objects(self, instances: Sequence[Model]) -> list[Claim]:
        claims: list[Claim] = []
        placed: list[Placed] = []
        by_id = {instance.id: instance for instance in instances}
        for instance in instances:
            self._count(instance)
            claims += self._references(instance)
            placements = placements_of(instance)
            if placements is None:
                claims.append(Sound(type(instance), self.owner_id, instance.id))
                continue
            self._expected.update(placements.keys())
            placed += [(key, instance.id, score) for key, score in placements.items()]
        for key, member in await _misplaced(placed):
            self._lacking.add(key)
            claims.append(self._entry(key, member, by_id[member]))
        return claims

    def _count(self, instance: Model) -> None:
        declared = self.checker.counters[instance.kind]
        if declared:
            says = {counter.name: getattr(instance, counter.name) for counter, _ in declared}
            self._counted[instance.kind, instance.id] = says
        for tally in self.checker.tallies.get(instance.kind, ()):
            for target, share in tally.shares(instance):
                self._tallied[tally][target] += share

    def _references(self, instance: Model) -> "Iterator[Claim]":
        """Those that seem to lead nowhere."""
        for name, reference in references_of(instance):
            kinds = self.checker.kinds_of(reference.to)
            for target in referred(instance, name):
                keys = tuple(kind.key_prefix(self.owner_id) + target for kind in kinds)
                if self.keys.keys().isdisjoint(keys):
                    yield Reference(type(instance), self.owner_id, instance.id, name, target, keys)

    def _entry(self, key: str, member: str, instance: Model | None = None) -> Entry:
        models = dict.fromkeys(model for model, family in self.checker.families_of(key) if family.is_placed)
        excuses = instance.objects.excuses(instance, key) if instance is not None else ()
        return Entry(key, member, self.owner_id, tuple(models), tuple(excuses))

    # ---- sorted sets
    async def _sorted_set(self, key: str) -> AsyncIterator[list[Claim]]:
        yield self._claims_of(key)
        families = self.checker.families_of(key)
        if any(family.is_placed for _, family in families):
            async for claims in self._strays(key):
                yield claims
        for of_member in [family.of_member for _, family in families if family.of_member]:
            async for members in _members_of(key):
                yield list(chain.from_iterable(of_member(self.owner_id, key, each) for each in members))

    async def _strays(self, key: str) -> AsyncIterator[list[Claim]]:
        """Members that may not belong there. Who is known and was found there need not be looked at again,
        when there are as many of them as there should be.
        """
        if key not in self._lacking and await get_client().zcard(key) == self._expected[key]:
            return
        kinds = [model.kind for model, family in self.checker.families_of(key) if family.is_placed]
        known: dict[str, None] = {}
        async for members in _members_of(key):
            is_known = {each: any(each in self.scanned[kind] for kind in kinds) for each in members}
            known |= dict.fromkeys(each for each in members if is_known[each])
            yield [self._entry(key, each) for each in members if not is_known[each]]
        if key in self._lacking or len(known) != self._expected[key]:
            for some in batches(known, READ_AT_ONCE):
                yield [self._entry(key, each) for each in some]


@dataclass(frozen=True)
class Miscount:
    """A counter that may not say what it counts."""

    look: Look
    model: type[Model]
    id: str
    counter: str
    tally: Tally

    async def settle(self, *, repair: bool) -> Fault | None:
        """Count again while nobody changes it; Unsettled when somebody always does.

        Where something of another type stands in the way, nothing can be counted; a claim tells of that.
        """
        try:
            return await self._settle(repair)
        except ResponseError as error:
            if says_wrong_type(error):
                return None
            raise

    async def _settle(self, repair: bool) -> Fault | None:
        key = self.model.key_prefix(self.look.owner_id) + self.id
        async with get_client().pipeline(transaction=True) as pipeline:
            for attempt in range(TRIES):
                await pipeline.watch(key)
                says, counted = await self._compare(pipeline, key)
                if says == counted:
                    return None
                pipeline.multi()
                pipeline.hset(key, self.counter, counted) if repair else pipeline.exists(key)
                try:
                    await pipeline.execute()
                except WatchError:
                    await asyncio.sleep(0.01 * 2**attempt)
                    continue
                return Fault(f"{key} counts {says} in {self.counter} of {counted}.")
        raise Unsettled(f"{key} is counted all the time, and {self.counter} was not judged.")

    async def _compare(self, pipeline: Any, key: str) -> tuple[str, str]:
        """What it says, which may be no number, and how much there is."""
        says = await pipeline.hget(key, self.counter) or "0"
        is_gone = isinstance(self.tally, References) and not await pipeline.exists(key)
        counted = None if is_gone else await self._count_again()
        return says, says if counted is None else str(counted)

    async def _count_again(self) -> int | None:
        """How much there is; None while something cannot be read that may have to be counted."""
        total = 0
        for model in self.look.checker.kinds_of(self.tally.kind):
            ids = await self.look.checker.ids_of(self.look.owner_id, model) | self.look.scanned[model.kind]
            for some in batches(ids, READ_AT_ONCE):
                shares = await self._shares(model, some)
                if shares is None:
                    return None
                total += shares
        return total

    async def _shares(self, model: type[Model], ids: list[str]) -> int | None:
        owner_id = self.look.owner_id
        hashes = await _read([model.key_prefix(owner_id) + each for each in ids])
        stored = [(each, pairs) for each, pairs in zip(ids, hashes, strict=True) if pairs]
        instances = [readable(model, owner_id, each, pairs) for each, pairs in stored]
        shares = chain.from_iterable(self.tally.shares(each) for each in instances if each)
        counted = sum(share for target, share in shares if target == self.id)
        return None if None in instances else counted


def references_of(instance: Model) -> Iterator[tuple[str, ReferenceField | ReferenceListField]]:
    """The fields whose targets have to exist."""
    for name, declared in instance.fields.items():
        reference = declared.field if isinstance(declared, Nullable) else declared
        if isinstance(reference, ReferenceField | ReferenceListField) and not reference.may_dangle:
            yield name, reference


# ---- reading
async def _read(keys: Sequence[str]) -> list[dict[str, str] | ResponseError]:
    """The hashes under these keys; an error where something else is."""
    pipeline = get_client().pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return await pipeline.execute(raise_on_error=False) if keys else []


async def types_of(keys: Sequence[str]) -> dict[str, str]:
    """What is under each key: `hash`, `zset`, …, or `none`."""
    types: dict[str, str] = {}
    for some in batches(keys, COMMANDS_AT_ONCE):
        pipeline = get_client().pipeline(transaction=False)
        for key in some:
            pipeline.type(key)
        types |= zip(some, await pipeline.execute(), strict=True)
    return types


async def _misplaced(placed: Sequence[Placed]) -> list[tuple[str, str]]:
    """(key, member) of those that do not stand where they should."""
    found = []
    for some in batches(placed, COMMANDS_AT_ONCE):
        pipeline = get_client().pipeline(transaction=False)
        for key, member, _ in some:
            pipeline.zscore(key, member)
        scores = await pipeline.execute(raise_on_error=False)  # something else than a sorted set may be there
        for (key, member, wanted), score in zip(some, scores, strict=True):
            if not isinstance(score, float) or wanted not in {None, f"{score:.0f}"}:
                found.append((key, member))
    return found


async def _members(keys: Sequence[str]) -> list[str]:
    """The members of all of these sorted sets, at one moment."""
    pipeline = get_client().pipeline(transaction=True)
    for key in keys:
        pipeline.zrange(key, 0, -1)
    return list(chain.from_iterable(await pipeline.execute())) if keys else []


async def _members_of(key: str) -> AsyncIterator[list[str]]:
    """The members of a sorted set, some at a time."""
    client, cursor = get_client(), None
    while cursor != 0:
        cursor, entries = await client.zscan(key, cursor or 0, count=READ_AT_ONCE)
        yield [member for member, _ in entries]
