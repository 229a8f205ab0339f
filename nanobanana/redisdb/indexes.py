"""Indexes: sorted sets that list the objects of an owner, each with a score to sort by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nanobanana.redisdb.exceptions import FieldError
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.keys import owner_key

if TYPE_CHECKING:
    from nanobanana.redisdb.models import Model

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

    def key(self, owner_id: str, **scope: Any) -> str:
        return owner_key(owner_id, self.name.format(**scope))

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
