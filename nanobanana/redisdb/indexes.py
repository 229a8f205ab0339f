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


@dataclass(frozen=True)
class Index:
    """One sorted set, or one for each value of the fields its name holds.

    `Index("session:{session_id}:messages", score="created_at")` lists each session's messages, oldest first.
    With `where`, an object stands in it only while that field is neither None nor False.
    """

    name: str
    score: str
    where: str | None = None

    @cached_property
    def scope(self) -> tuple[str, ...]:
        """The fields that decide which of the sorted sets an object stands in."""
        return tuple(re.findall(r"{(\w+)}", self.name))

    def lists(self, values: Mapping[str, Any]) -> bool:
        """Whether an object with these values stands in the index."""
        return self.where is None or (values[self.where] is not None and values[self.where] is not False)

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
