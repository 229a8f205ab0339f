"""Indexes: sorted sets that list the objects of an owner, each with a score to sort by; and postings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nanobanana.redisdb.exceptions import FieldError
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.keys import owner_key

if TYPE_CHECKING:
    from nanobanana.redisdb.models import Model
    from nanobanana.redisdb.unit_of_work import UnitOfWork

LEAD = 5 * 10**14  # more than any moment in milliseconds; with one on top, it is still counted exactly


@dataclass(frozen=True)
class Index:
    """One sorted set, or one for each value of the fields its name holds.

    `Index("session:{session_id}:messages", score="created_at")` lists each session's messages, oldest first.
    An object stands in it only while the field `where` holds something (neither None nor False), and `unless`
    does not. `each` names a list: the object stands in the sorted set of each of its values. While the field
    `lead` holds a moment, the object is sorted by that, above all whose `lead` holds none.
    """

    name: str
    score: str
    where: str | None = None
    unless: str | None = None
    each: str | None = None
    lead: str | None = None

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The fields its name holds."""
        return tuple(re.findall(r"{(\w+)}", self.name))

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.where, self.unless)))

    @cached_property
    def scope(self) -> tuple[str, ...]:
        """The fields that decide in which of the sorted sets an object stands, if in any."""
        return (*self.named, *self.conditions)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The fields that decide where in it."""
        return (self.score, self.lead) if self.lead else (self.score,)

    @cached_property
    def places(self) -> frozenset[str | None]:
        """The fields whose change takes more than another score."""
        return frozenset((*self.scope, self.lead, *([self.score] if self.each else [])))

    def key(self, owner_id: str, **scope: Any) -> str:
        return owner_key(owner_id, self.name.format(**scope) if scope else self.name)

    def keys_of(self, owner_id: str, values: Mapping[str, Any]) -> list[str]:
        """The sorted sets in which an object with these values stands."""
        if (self.where and not values[self.where]) or (self.unless and values[self.unless]):
            return []
        scope = {name: values[name] for name in self.named}
        if not self.each:
            return [self.key(owner_id, **scope)]
        return [
            self.key(owner_id, **{**scope, self.each: value}) for value in dict.fromkeys(values[self.each])
        ]

    def score_in(self, values: Mapping[str, Any]) -> str:
        """The score of an object with these values: a moment in milliseconds, or a whole number."""
        leading = values[self.lead] if self.lead else None
        if leading is not None:
            return str(LEAD + milliseconds(leading))
        value = values[self.score]
        if isinstance(value, datetime):
            return str(milliseconds(value))
        if isinstance(value, int):
            return str(value)
        raise FieldError(f"{self.name} sorts by {self.score}, which cannot be {value!r}.")

    def entries_of(self, instance: "Model") -> dict[str, str]:
        """Where an object that was read stands: {key of the sorted set: score}."""
        values = instance.__dict__
        return dict.fromkeys(self.keys_of(instance.owner_id, values), self.score_in(values))


@dataclass(frozen=True)
class Postings:
    """An inverted index: for each term a sorted set of the ids that have it, and one of all terms.

    All scores are 0: ids stand in the order they were made in, terms in that of their bytes.

    `Postings("terms", "term:")` keeps `terms` and `term:<term>`.
    """

    terms: str
    stem: str

    def terms_key(self, owner_id: str) -> str:
        return owner_key(owner_id, self.terms)

    def key(self, owner_id: str, term: str = "") -> str:
        """The key of a term's postings; without a term, what all such keys start with."""
        return owner_key(owner_id, self.stem) + term

    def add(self, work: "UnitOfWork", member: str, terms: Sequence[str]) -> None:
        self._write(work, "post", member, terms)

    def remove(self, work: "UnitOfWork", member: str, terms: Sequence[str]) -> None:
        """A term that nothing has any more leaves the list as well."""
        self._write(work, "unpost", member, terms)

    def _write(self, work: "UnitOfWork", step: str, member: str, terms: Sequence[str]) -> None:
        if terms:
            work.post(step, self.terms_key(work.owner_id), self.key(work.owner_id), member, terms)
