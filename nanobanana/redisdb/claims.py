"""Claims: what must hold between the keys of one owner, judged by reads of one moment.

One script writes all that belongs together. So whatever others write meanwhile, what one transaction reads
agrees with itself, or there is a fault: a claim that was judged gives no false alarm, at any time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from redis.exceptions import ResponseError, WatchError

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.exceptions import FieldError, RedisDBError
from nanobanana.redisdb.fields import ReferenceListField, milliseconds, now
from nanobanana.redisdb.keys import events_key, log_key
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.scripts import Argument

T = TypeVar("T")
Command = tuple[Argument, ...]
JUDGED_AT_ONCE = 100
TRIES = 20  # to mend what others write at the same time


@dataclass(frozen=True)
class Fault:
    """What does not hold, and the writes that mend it; without any, nobody can tell what would be right."""

    sentence: str
    repair: tuple[Command, ...] = ()


class Unsettled(RedisDBError):
    """What others change all the time can be neither judged nor mended."""


class Claim(ABC):
    """Something that must hold."""

    @abstractmethod
    def reads(self) -> Sequence[Command]:
        """What has to be known at one moment; the second word of each is its key."""

    @abstractmethod
    def judge(self, replies: Sequence[Any]) -> Fault | None:
        """What is wrong by the answers to `reads`."""


async def judge_all(claims: Iterable[Claim]) -> list[tuple[Claim, Fault]]:
    """Those of the claims that do not hold."""
    found = []
    for some in batches(claims, JUDGED_AT_ONCE):
        pipeline = get_client().pipeline(transaction=True)
        for claim in some:
            for read in claim.reads():
                pipeline.execute_command(*read)
        replies = iter(await pipeline.execute(raise_on_error=False))
        for claim in some:
            fault = _judge(claim, list(islice(replies, len(claim.reads()))))
            if fault:
                found.append((claim, fault))
    return found


def _judge(claim: Claim, replies: list[Any]) -> Fault | None:
    for read, reply in zip(claim.reads(), replies, strict=True):
        if isinstance(reply, ResponseError):
            return Fault(f"{read[1]!s} cannot be read: {reply}")
    try:
        return claim.judge(replies)
    except ValueError as error:  # where a number should be is something else
        return Fault(f"{claim.reads()[0][1]!s} cannot be read: {error}")


async def mend(claim: Claim) -> Fault | None:
    """Make a claim hold; the fault that was there and mended, None when it holds already. Unsettled."""
    sentence = ""
    async with get_client().pipeline(transaction=True) as pipeline:
        for _ in range(TRIES):
            await pipeline.watch(*{str(read[1]) for read in claim.reads()})
            fault = _judge(claim, [await pipeline.execute_command(*read) for read in claim.reads()])
            if fault is None:
                return None
            sentence = fault.sentence
            pipeline.multi()
            for command in fault.repair:
                pipeline.execute_command(*command)
            try:
                await pipeline.execute()
            except WatchError:
                continue
            return fault
    raise Unsettled(f"{sentence} Others write there all the time.")


def batches(things: Iterable[T], size: int) -> Iterable[list[T]]:
    remaining = iter(things)
    while some := list(islice(remaining, size)):
        yield some


# ---- objects
@dataclass(frozen=True)
class Sound(Claim):
    """An object can be read and has its places, and no flaw that it knows itself."""

    model: type[Model]
    owner_id: str
    id: str

    def reads(self) -> list[Command]:
        return [("HGETALL", self.model.key_prefix(self.owner_id) + self.id)]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        if not replies[0]:
            return None
        try:
            instance = read(self.model, self.owner_id, self.id, replies[0])
            instance.objects.placements(instance)
        except FieldError as error:
            return Fault(f"{self.model.key_prefix(self.owner_id)}{self.id} cannot be read: {error}")
        flaw = next(iter(instance.flaws()), None)
        return Fault(flaw) if flaw else None


@dataclass(frozen=True)
class Reference(Claim):
    """What a field of an object refers to exists, as one of several kinds."""

    model: type[Model]
    owner_id: str
    id: str
    field: str
    target: str
    target_keys: tuple[str, ...]

    def reads(self) -> list[Command]:
        key = self.model.key_prefix(self.owner_id) + self.id
        return [("HGETALL", key), *(("EXISTS", target_key) for target_key in self.target_keys)]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        stored, *exist = replies
        instance = readable(self.model, self.owner_id, self.id, stored)
        if instance is None or any(exist) or self.target not in referred(instance, self.field):
            return None
        sentence = f"{instance!r} refers to {self.target} ({self.field}), which does not exist."
        return Fault(sentence, tuple(self._without_it(instance)))

    def _without_it(self, instance: Model) -> Iterable[Command]:
        """An entry of a list can be left out; a field of its own cannot."""
        field = self.model.fields[self.field]
        if isinstance(field, ReferenceListField):
            left = [each for each in getattr(instance, self.field) if each != self.target]
            yield ("HSET", instance.key, self.field, field.to_redis(left))


def referred(instance: Model, field: str) -> list[str]:
    """The ids that a field refers to."""
    value = getattr(instance, field)
    return value if isinstance(value, list) else [value] if value is not None else []


# ---- sorted sets
@dataclass(frozen=True)
class Entry(Claim):
    """An entry of a sorted set is there if an object of one of these models calls for it, and only then."""

    key: str
    member: str
    owner_id: str
    models: tuple[type[Model], ...]
    excused_by: tuple[str, ...] = ()  # while one of these keys exists, the entry may be missing

    def reads(self) -> list[Command]:
        hashes = [("HGETALL", model.key_prefix(self.owner_id) + self.member) for model in self.models]
        return [("ZSCORE", self.key, self.member), *hashes, *(("EXISTS", each) for each in self.excused_by)]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        found, hashes = replies[0], replies[1 : len(self.models) + 1]
        wanted: dict[str, str | None] = {}
        for model, stored in zip(self.models, hashes, strict=True):
            instance = readable(model, self.owner_id, self.member, stored)
            placements = placements_of(instance) if instance else {}
            if placements is None or (instance is None and stored):
                return None  # nobody knows where it belongs; `Sound` says that it cannot be read
            wanted |= placements
        if self.key in wanted:
            is_excused = found is None and any(replies[len(self.models) + 1 :])
            return None if is_excused else self._misplaced(found, wanted[self.key])
        return None if found is None or self._outlived(found) else self._stray()

    def _misplaced(self, found: float | None, wanted: str | None) -> Fault | None:
        if found is not None and wanted in {None, f"{found:.0f}"}:
            return None
        score = milliseconds(now()) if wanted is None else wanted
        repair = (("ZADD", self.key, score, self.member),)
        if found is None:
            return Fault(f"{self.key} does not list {self.member}.", repair)
        return Fault(f"{self.key} has {self.member} at {found:.0f} instead of {wanted}.", repair)

    def _outlived(self, score: float) -> bool:
        """Whether Redis let the object go after its life; what comes next forgets the entry."""
        return any(model.life and score <= milliseconds(now()) - model.life for model in self.models)

    def _stray(self) -> Fault:
        sentence = f"{self.key} lists {self.member}, which does not belong there."
        return Fault(sentence, (("ZREM", self.key, self.member),))


@dataclass(frozen=True)
class Gone(Claim):
    """A sorted set of what is gone lists nothing that exists."""

    key: str
    member: str
    object_key: str

    def reads(self) -> list[Command]:
        return [("ZSCORE", self.key, self.member), ("EXISTS", self.object_key)]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        if replies[0] is None or not replies[1]:
            return None
        sentence = f"{self.key} lists {self.member}, which is not gone."
        return Fault(sentence, (("ZREM", self.key, self.member),))


@dataclass(frozen=True)
class Listed(Claim):
    """A list has the names of the keys that exist, and no others."""

    key: str
    member: str
    named_key: str

    def reads(self) -> list[Command]:
        return [("ZSCORE", self.key, self.member), ("EXISTS", self.named_key)]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        is_listed, exists = replies[0] is not None, bool(replies[1])
        if is_listed == exists:
            return None
        if exists:
            sentence = f"{self.key} does not list {self.member!r}."
            return Fault(sentence, (("ZADD", self.key, 0, self.member),))
        sentence = f"{self.key} lists {self.member!r}, of which there is nothing."
        return Fault(sentence, (("ZREM", self.key, self.member),))


# ---- the rest
@dataclass(frozen=True)
class KnownKey(Claim):
    """There is no key of which nobody knows what it is."""

    key: str

    def reads(self) -> list[Command]:
        return [("EXISTS", self.key)]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        return Fault(f"{self.key} belongs to no model.") if replies[0] else None


@dataclass(frozen=True)
class WholeLog(Claim):
    """The stream of events ends where the log says, without a gap."""

    owner_id: str

    def reads(self) -> list[Command]:
        log, events = log_key(self.owner_id), events_key(self.owner_id)
        ends = [(name, events, *span, "COUNT", 1) for name, span in RANGES]
        return [("HGET", log, "offset"), ("XLEN", events), *ends]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        head, length = int(replies[0] or 0), replies[1]
        first, last = (int(entries[0][0].partition("-")[0]) if entries else 0 for entries in replies[2:])
        if not length or (last == head and last - first + 1 == length):
            return None
        sentence = f"The log of {self.owner_id} is at {head} and has {length} events from {first} to {last}."
        return Fault(sentence, (("UNLINK", events_key(self.owner_id)),))


RANGES = (("XRANGE", ("-", "+")), ("XREVRANGE", ("+", "-")))


def read(model: type[Model], owner_id: str, id: str, stored: dict[str, str]) -> Model:
    return model.from_hash(owner_id, id, list(chain.from_iterable(stored.items())))


def readable(
    model: type[Model], owner_id: str, id: str, stored: dict[str, str] | ResponseError
) -> Model | None:
    """The object of a hash; None when there is none, none that can be read, or something else than a hash."""
    if not stored or isinstance(stored, ResponseError):
        return None
    try:
        return read(model, owner_id, id, stored)
    except FieldError:
        return None


def placements_of(instance: Model) -> dict[str, str | None] | None:
    """Where an object stands; None when it lacks what says so."""
    try:
        return instance.objects.placements(instance)
    except FieldError:
        return None
