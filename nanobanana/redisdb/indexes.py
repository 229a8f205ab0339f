"""Indexes: sorted sets that list the objects of an owner, each with a score to sort by; and postings."""

import re
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Index:
    """One sorted set, or one for each value of the fields its name holds.

    `Index("session:{session_id}:messages", score="created_at")` lists each session's messages, oldest first.
    """

    name: str
    score: str

    @cached_property
    def scope(self) -> tuple[str, ...]:
        """The fields that decide which of the sorted sets an object stands in."""
        return tuple(re.findall(r"{(\w+)}", self.name))

    def key(self, owner_id: str, **scope: Any) -> str:
        return owner_key(owner_id, self.name.format(**scope))

    def key_of(self, instance: "Model") -> str:
        return self.key(instance.owner_id, **{name: getattr(instance, name) for name in self.scope})

    def score_of(self, value: Any) -> str:
        """The score for a value of the field `score`: a moment or a whole number."""
        if isinstance(value, datetime):
            return str(milliseconds(value))
        if isinstance(value, int):
            return str(value)
        raise FieldError(f"{self.name} sorts by {self.score}, which cannot be {value!r}.")


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
