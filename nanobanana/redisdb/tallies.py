"""What counters count, so that a check can count it again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanobanana.redisdb.models import Model


@dataclass(frozen=True)
class References:
    """How many objects of a kind refer to the one that counts: `References("message", "image_ids")`.

    Whoever adds or removes a reference changes the count, in the same commit.
    """

    kind: str
    field: str

    def shares(self, instance: "Model") -> Iterator[tuple[str, int]]:
        """(id of an object that counts it, by how much) for one that is counted."""
        value = getattr(instance, self.field)
        for identifier in value if isinstance(value, list) else [value]:
            if identifier is not None:
                yield identifier, 1


@dataclass(frozen=True)
class Total:
    """How many objects of a kind an owner has, or what a field of theirs comes to.

    The object that counts has the owner's id, and one that was never written counts 0.
    """

    kind: str
    field: str | None = None

    def shares(self, instance: "Model") -> Iterator[tuple[str, int]]:
        value: Any = getattr(instance, self.field) if self.field else 1
        yield instance.owner_id, value


Tally = References | Total
