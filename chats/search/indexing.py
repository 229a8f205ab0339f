"""Managers whose objects are found by what they say: every write of theirs keeps the postings right."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from chats.search.query import Query
from nanobanana.redisdb.client import ask, get_client
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.families import Family, families_of
from nanobanana.redisdb.indexes import Postings
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Manager
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.scripts import Script
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work

M = TypeVar("M", bound=Model)
TERMS_AT_ONCE = 500  # removed, or asked about
ENTRIES_READ = 3000  # of postings, by one search in one step, about

MESSAGE_POSTINGS = Postings("terms", "term:")
TITLE_POSTINGS = Postings("titles", "title:")

_search = Script(Path(__file__).parent.parent / "scripts" / "search.lua")


@dataclass(frozen=True)
class Range:
    """Which objects to look at: from the id `since` on (inclusive), up to the id `behind` (exclusive)."""

    behind: str | None = None
    since: str | None = None

    @property
    def bounds(self) -> tuple[str, str]:
        return f"({self.behind}" if self.behind else "+", f"[{self.since}" if self.since else "-"


@dataclass(frozen=True)
class Narrowing:
    """What a message must be besides what it says."""

    session_id: str | None = None
    role: str | None = None
    has_image: bool | None = None


EVERYTHING, EVERY_MESSAGE = Range(), Narrowing()


@dataclass(frozen=True)
class Candidates:
    """Hashes as pairs by id, the newest first; `behind` is the id to go on behind, None at the end."""

    hashes: dict[str, list[str]]
    sessions: dict[str, list[str]]
    behind: str | None


class SearchedManager(Manager[M]):
    """Writes the differences of terms into the same unit of work as the change that makes them.

    An instance that is updated in one of the fields `searched`, or removed, must say what is stored; that it
    still is so at the commit is for the caller to expect.
    """

    postings: ClassVar[Postings]
    searched: ClassVar[frozenset[str]]
    session_field = ""  # what names an object's session; '' for sessions themselves

    @abstractmethod
    def terms_of(self, values: dict[str, Any]) -> list[str]:
        """The terms under which an object with these values of the fields `searched` is found."""

    def terms_of_object(self, instance: M) -> list[str]:
        return self.terms_of({name: getattr(instance, name) for name in self.searched})

    def placements(self, instance: M) -> dict[str, str | None]:
        keys = [self.postings.key(instance.owner_id, term) for term in self.terms_of_object(instance)]
        return super().placements(instance) | dict.fromkeys(keys, "0")

    def families(self) -> Iterator[Family]:
        return chain(super().families(), families_of(self.postings))

    # ---- writing
    def create(self, work: UnitOfWork, instance: M) -> None:
        super().create(work, instance)
        self.postings.add(work, instance.id, self.terms_of_object(instance))

    def update(self, work: UnitOfWork, instance: M, **changes: Any) -> None:
        super().update(work, instance, **changes)
        if self.searched.isdisjoint(changes):
            return
        stored = {name: getattr(instance, name) for name in self.searched}
        before, after = self.terms_of(stored), self.terms_of({**stored, **changes})
        self.postings.remove(work, instance.id, _without(before, after))
        self.postings.add(work, instance.id, _without(after, before))

    def delete(self, work: UnitOfWork, instance: M) -> None:
        super().delete(work, instance)
        self.postings.remove(work, instance.id, self.terms_of_object(instance))

    def discard(self, work: UnitOfWork, instance: M) -> None:
        super().discard(work, instance)
        self.postings.remove(work, instance.id, self.terms_of_object(instance))

    def repost(self, work: UnitOfWork, instance: M) -> None:
        """Write all postings of an object that was read; where they are right already, nothing changes."""
        for name in self.searched:
            work.expect_equal(instance, name)
        self.postings.add(work, instance.id, self.terms_of_object(instance))

    async def remove_postings(self, owner_id: str) -> None:
        """Remove the postings of everything, term by term, in bounded steps that can be repeated."""
        last = "-"
        while terms := await self._terms_behind(owner_id, last):
            async with unit_of_work(owner_id) as work:
                for term in terms:
                    work.write("delete", self.postings.key(owner_id, term))
                work.write("unindex", self.postings.terms_key(owner_id), *terms)
            last = f"({terms[-1]}"

    async def _terms_behind(self, owner_id: str, last: str) -> list[str]:
        key = self.postings.terms_key(owner_id)
        return await ask("ZRANGEBYLEX", key, last, "+", "LIMIT", 0, TERMS_AT_ONCE)

    # ---- reading
    async def acandidates(
        self, owner_id: str, query: Query, within: Range, most: int, narrowing: Narrowing = EVERY_MESSAGE
    ) -> Candidates:
        """Some of the objects that the query can mean, found in one bounded round trip.

        DoesNotExist without the session that the search is narrowed to.
        """
        session_id, role, has_image = narrowing.session_id, narrowing.role, narrowing.has_image
        keys = [
            self.postings.terms_key(owner_id),
            self.postings.key(owner_id),
            self.model.key_prefix(owner_id),
            owner_key(owner_id, "session", ""),
        ]
        if session_id:
            keys += [keys[3] + session_id, owner_key(owner_id, "session", session_id, "messages")]
        narrowed = (self.session_field, role or "", _flag(has_image), ENTRIES_READ)
        answer = await _search(keys, [*within.bounds, most, *narrowed, *chain.from_iterable(query.groups)])
        if not answer:
            raise DoesNotExist(f"session {session_id}")
        behind, rows, sessions = answer
        return Candidates(_pairs(rows), _pairs(sessions), behind or None)

    # ---- checking
    async def wrong_postings(self, owner_id: str, expected: dict[str, int]) -> list[str]:
        """The terms that do not have as many postings as `expected` says, or are not listed, or wrongly."""
        found: dict[str, int] = {}
        last = "-"
        while terms := await self._terms_behind(owner_id, last):
            pipeline = get_client().pipeline(transaction=False)
            for term in terms:
                pipeline.zcard(self.postings.key(owner_id, term))
            found |= zip(terms, await pipeline.execute(), strict=True)
            last = f"({terms[-1]}"
        return [term for term in found | expected if found.get(term) != expected.get(term)]

    async def missing_postings(self, instances: Sequence[M]) -> list[tuple[M, str]]:
        """The terms of these objects that do not lead to them."""
        wanted = [(each, term) for each in instances for term in self.terms_of_object(each)]
        pipeline = get_client().pipeline(transaction=False)
        for each, term in wanted:
            pipeline.zscore(self.postings.key(each.owner_id, term), each.id)
        scores = await pipeline.execute() if wanted else []
        return [entry for entry, score in zip(wanted, scores, strict=True) if score is None]


def _without(terms: list[str], others: list[str]) -> list[str]:
    left_out = set(others)
    return [term for term in terms if term not in left_out]


def _flag(value: bool | None) -> str:
    return "" if value is None else str(int(value))


def _pairs(rows: list) -> dict[str, list[str]]:
    return dict(zip(rows[::2], rows[1::2], strict=True))
