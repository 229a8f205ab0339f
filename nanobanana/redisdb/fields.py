"""Fields: how one value of a model is written to a Redis hash and read back.

A field knows `to_redis` and `to_python`, nothing else. `None` is never written: the field is absent instead.
Strings arrive from Redis decoded as UTF-8 with surrogateescape, so that bytes survive (see `client.py`).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar, overload

from nanobanana.redisdb.exceptions import FieldError

T = TypeVar("T")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Field(Generic[T]):
    """A field of a model. Reading it on an instance gives the value, on the class the field itself."""

    name: str
    nullable = False

    def __init__(self, *, default: T | Callable[[], T] | None = None) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | T:
        # No __set__: the value in the instance's own dictionary wins, at the price of a plain attribute.
        if instance is None:
            return self
        raise AttributeError(f"{owner.__name__}.{self.name} is not loaded.")

    def initial(self) -> T | None:
        """The value of an object that has none stored."""
        return self.default() if callable(self.default) else self.default

    def to_redis(self, value: T) -> str | bytes:
        raise NotImplementedError

    def to_python(self, stored: str) -> T:
        raise NotImplementedError

    def write(self, value: T | None) -> str | bytes | None:
        """`to_redis` that minds None; None means: the field is to be absent."""
        if value is None:
            if self.nullable:
                return None
            raise FieldError(f"{self.name} cannot be None.")
        return self.to_redis(value)

    def read(self, stored: str | None) -> T | None:
        """`to_python` that minds absence and says which field could not be read."""
        if stored is None:
            return self.initial()
        try:
            return self.to_python(stored)
        except (ValueError, TypeError, OverflowError) as error:
            raise FieldError(f"{self.name} holds {stored[:80]!r}, which it never wrote.") from error


class Nullable(Field[T | None], Generic[T]):
    """A field that may be None: `avatar = Nullable(TextField())`."""

    nullable = True

    def __init__(self, field: Field[T]) -> None:
        super().__init__()
        self.field = field

    def to_redis(self, value: T | None) -> str | bytes:
        assert value is not None
        return self.field.to_redis(value)

    def to_python(self, stored: str) -> T:
        return self.field.to_python(stored)


class TextField(Field[str]):
    """Text, of any length and script."""

    def to_redis(self, value: str) -> str:
        if not isinstance(value, str):
            raise FieldError(f"{self.name} takes text, not {type(value).__name__}.")
        return value

    def to_python(self, stored: str) -> str:
        return stored


class BinaryField(Field[bytes]):
    """Bytes, whatever they are."""

    def to_redis(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise FieldError(f"{self.name} takes bytes, not {type(value).__name__}.")
        return value

    def to_python(self, stored: str) -> bytes:
        return stored.encode("utf-8", "surrogateescape")


class IntegerField(Field[int]):
    """A whole number; Redis counts exactly within 64 bits."""

    def to_redis(self, value: int) -> str:
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise FieldError(f"{self.name} takes a whole number of at most 64 bits, not {value!r}.")
        return str(value)

    def to_python(self, stored: str) -> int:
        return int(stored)


class CounterField(IntegerField):
    """A whole number from 0 that only the commit script changes, by a difference.

    With `zero_index`, the objects whose count is 0 stand in that index, by the time they came to it.
    """

    def __init__(self, *, zero_index: str | None = None) -> None:
        super().__init__(default=0)
        self.zero_index = zero_index


class BooleanField(Field[bool]):
    def to_redis(self, value: bool) -> str:
        if not isinstance(value, bool):
            raise FieldError(f"{self.name} takes True or False, not {value!r}.")
        return "1" if value else "0"

    def to_python(self, stored: str) -> bool:
        return {"1": True, "0": False}[stored] if stored in {"0", "1"} else _refuse(stored)


class DateTimeField(Field[datetime]):
    """A moment, UTC, kept as whole milliseconds since 1970."""

    def to_redis(self, value: datetime) -> str:
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise FieldError(f"{self.name} takes a moment with a time zone, not {value!r}.")
        return str(milliseconds(value))

    def to_python(self, stored: str) -> datetime:
        return datetime.fromtimestamp(int(stored) / 1000, UTC)


class JSONField(Field[Any]):
    """Anything JSON can say, NaN and infinity excepted; a stored null is read as None."""

    def to_redis(self, value: Any) -> str:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise FieldError(f"{self.name} takes what JSON can say: {error}.") from error

    def to_python(self, stored: str) -> Any:
        return json.loads(stored)


class ReferenceField(TextField):
    """The id of another object of the same owner; `to` is that model's kind."""

    def __init__(self, *, to: str) -> None:
        super().__init__()
        self.to = to


class ReferenceListField(Field[list[str]]):
    """Ids of other objects of the same owner, in order, joined by commas; `to` is their model's kind."""

    def __init__(self, *, to: str) -> None:
        super().__init__(default=list)
        self.to = to

    def to_redis(self, value: list[str]) -> str:
        if not all(
            isinstance(identifier, str) and identifier and "," not in identifier for identifier in value
        ):
            raise FieldError(f"{self.name} takes a list of ids, not {value!r}.")
        return ",".join(value)

    def to_python(self, stored: str) -> list[str]:
        return stored.split(",") if stored else []


def now() -> datetime:
    """This moment, UTC, to the millisecond, as Redis will give it back."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, exactly."""
    return (moment - EPOCH) // MILLISECOND


def _refuse(stored: str) -> bool:
    raise ValueError(stored)
