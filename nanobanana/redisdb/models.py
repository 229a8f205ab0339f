"""Models: declared fields and indexes; one object is one Redis hash.

The id and the owner stand in the key and nowhere else. An instance made from ids alone is a handle: it names
the object, so that a unit of work can check and change it without reading it first.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import Field
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.keys import object_key, owner_key


class Model:
    """The base of all models. A subclass declares `kind`, fields, `indexes` and managers."""

    kind: ClassVar[str]
    indexes: ClassVar[tuple[Index, ...]] = ()
    fields: ClassVar[dict[str, Field[Any]]] = {}
    life: ClassVar[int | None] = None  # milliseconds from its score on, after which Redis lets an object go
    objects: ClassVar[Any]
    _readers: ClassVar[tuple[tuple[str, Callable[[str], Any], Field[Any]], ...]] = ()

    def __init_subclass__(cls) -> None:
        declared = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        cls.fields = {**cls.fields, **declared}
        cls._readers = tuple((name, field.reader, field) for name, field in cls.fields.items())

    def __init__(self, owner_id: str, id: str, **values: Any) -> None:
        self.owner_id = owner_id
        self.id = id
        if values:
            self._set(values)

    def _set(self, values: dict[str, Any]) -> None:
        unknown = values.keys() - self.fields.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}.")
        self.__dict__.update(values)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.owner_id}>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]  # equal by content, so not to be put in sets

    @classmethod
    def handle(cls, owner_id: str, id: str) -> Self:
        """Name an object without reading it; DoesNotExist when `id` cannot be an id."""
        cls.check_ids(owner_id, id)
        return cls(owner_id, id)

    @classmethod
    def check_ids(cls, owner_id: str, id: str) -> None:
        """DoesNotExist when one of the two cannot be an id, and so must not become part of a key."""
        if not is_id(id) or not is_id(owner_id):
            raise DoesNotExist(f"{cls.kind} {str(id)[:40]!r}")

    @classmethod
    def key_prefix(cls, owner_id: str) -> str:
        """What stands before the id in the keys of this owner's objects."""
        return owner_key(owner_id, cls.kind, "")

    @property
    def key(self) -> str:
        return object_key(self.owner_id, self.kind, self.id)

    def flaws(self) -> Iterable[str]:
        """Sentences about what is wrong with the object by itself, for checks."""
        return ()

    @property
    def is_loaded(self) -> bool:
        return self.fields.keys() <= self.__dict__.keys()

    @classmethod
    def from_hash(cls, owner_id: str, id: str, pairs: Sequence[str]) -> Self:
        """Build the object from its hash as Redis gives it: `[field, value, field, value, …]`."""
        return cls(owner_id, id).load(pairs)

    def load(self, pairs: Sequence[str]) -> Self:
        """Take the values of the hash `[field, value, …]`; a field that is absent has its default."""
        stored = dict(zip(pairs[::2], pairs[1::2], strict=True))
        values = self.__dict__
        try:
            for name, read, field in self._readers:
                if name in stored:
                    values[name] = read(stored[name])
                else:
                    values[name] = None if field.nullable else field.read(None)
        except Exception:  # a field holds what it never wrote: `read` says which
            for name, field in self.fields.items():
                values[name] = field.read(stored.get(name))
        return self
