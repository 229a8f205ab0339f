"""Fields: how one value of a model is written to a Redis hash and read back.

A field knows `to_redis` and `to_python`, nothing else; both refuse what does not fit with FieldError. `None`
is never written: the field is absent instead.
Strings arrive from Redis decoded as UTF-8 with surrogateescape, so that bytes survive (see `client.py`).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, Self, TypeVar, overload

from nanobanana.redisdb.exceptions import FieldError
from nanobanana.redisdb.ids import EPOCH, MILLISECOND, is_id
from nanobanana.redisdb.tallies import Tally

T = TypeVar("T")
EMPTY: dict[str, Callable[[], Any]] = {"{}": dict, "[]": list}  # in JSON
VALUES_REMEMBERED = 8192  # of times and numbers each: lists show the same ones again and again
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1


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

    @property
    def reader(self) -> Callable[[str], T]:
        """`to_python`, in as few calls as it can be had."""
        return self.to_python

    def _encode(self, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise FieldError(f"{self.name} takes text that is Unicode: {error}.") from error

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
            return self._read_absent()
        try:
            return self.to_python(stored)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise FieldError(f"{self.name} holds {stored[:80]!r}, which it never wrote.") from error

    def _read_absent(self) -> T | None:
        value = self.initial()
        if value is None and not self.nullable:
            raise FieldError(f"{self.name} is absent, and has no default.")
        return value


class Nullable(Field[T | None], Generic[T]):
    """A field that may be None: `avatar = Nullable(TextField())`."""

    nullable = True

    def __init__(self, field: Field[T]) -> None:
        super().__init__()
        self.field = field

    def __set_name__(self, owner: type, name: str) -> None:
        super().__set_name__(owner, name)
        self.field.__set_name__(owner, name)

    def to_redis(self, value: T | None) -> str | bytes:
        assert value is not None
        return self.field.to_redis(value)

    def to_python(self, stored: str) -> T:
        return self.field.to_python(stored)

    @property
    def reader(self) -> Callable[[str], T]:
        return self.field.reader


class TextField(Field[str]):
    """Text, of any length and script."""

    def to_redis(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise FieldError(f"{self.name} takes text, not {type(value).__name__}.")
        return self._encode(value)

    def to_python(self, stored: str) -> str:
        stored.isascii() or stored.encode()  # bytes that were no UTF-8 are surrogates now
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
        if not isinstance(value, int) or isinstance(value, bool) or not _fits(value):
            raise FieldError(f"{self.name} takes a whole number of at most 64 bits, not {value!r:.80}.")
        return str(value)

    def to_python(self, stored: str) -> int:
        return _whole_number(stored)

    @property
    def reader(self) -> Callable[[str], int]:
        return _whole_number


class CounterField(IntegerField):
    """A whole number from 0 that only the commit script changes, by a difference.

    With `zero_index`, the objects whose count is 0 stand in that index, by the time they came to it.
    `counts` says what it counts, so that checks can count it again.
    """

    def __init__(self, *, zero_index: str | None = None, counts: Tally | None = None) -> None:
        super().__init__(default=0)
        self.zero_index = zero_index
        self.counts = counts

    def to_redis(self, value: int) -> str:
        stored = super().to_redis(value)
        if value < 0:
            raise FieldError(f"{self.name} counts from 0, not from {value}.")
        return stored


class BooleanField(Field[bool]):
    def to_redis(self, value: bool) -> str:
        if not isinstance(value, bool):
            raise FieldError(f"{self.name} takes True or False, not {value!r:.80}.")
        return "1" if value else "0"

    def to_python(self, stored: str) -> bool:
        if stored not in {"0", "1"}:
            raise ValueError(stored)
        return stored == "1"


class DateTimeField(Field[datetime]):
    """A moment, UTC, kept as whole milliseconds since 1970; what is finer is cut off."""

    def to_redis(self, value: datetime) -> str:
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise FieldError(f"{self.name} takes a moment with a time zone, not {value!r:.80}.")
        return str(milliseconds(value))

    def to_python(self, stored: str) -> datetime:
        return _moment(stored)

    @property
    def reader(self) -> Callable[[str], datetime]:
        return _moment


class JSONField(Field[Any]):
    """Anything JSON can say, NaN and infinity excepted; a stored null is read as None."""

    def to_redis(self, value: Any) -> bytes:
        try:
            return self._encode(_to_json(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise FieldError(f"{self.name} takes what JSON can say: {error}.") from error

    def to_python(self, stored: str) -> Any:
        if stored in EMPTY:  # most are
            return EMPTY[stored]()
        return _from_json(stored)


class ReferenceField(TextField):
    """The id of another object of the same owner; `to` is that model's kind.

    The other object exists, unless `may_dangle`.
    """

    def __init__(self, *, to: str, may_dangle: bool = False) -> None:
        super().__init__()
        self.to = to
        self.may_dangle = may_dangle

    def to_redis(self, value: str) -> bytes:
        if not is_id(value):
            raise FieldError(f"{self.name} takes an id, not {value!r:.80}.")
        return value.encode()


class ReferenceListField(Field[list[str]]):
    """Ids of other objects of the same owner, in order, joined by commas; `to` is their model's kind."""

    may_dangle = False

    def __init__(self, *, to: str) -> None:
        super().__init__(default=list)
        self.to = to

    def to_redis(self, value: list[str]) -> str:
        if not isinstance(value, list) or not all(map(is_id, value)):
            raise FieldError(f"{self.name} takes a list of ids, not {value!r:.80}.")
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


def _fits(number: int) -> bool:
    return SMALLEST_INTEGER <= number <= LARGEST_INTEGER


@lru_cache(VALUES_REMEMBERED)
def _moment(stored: str) -> datetime:
    return EPOCH + timedelta(milliseconds=_whole_number(stored))


@lru_cache(VALUES_REMEMBERED)
def _whole_number(stored: str) -> int:
    """Read what `str` wrote; `int` alone takes blanks, underscores and digits of other scripts too."""
    number = int(stored)
    if str(number) != stored or not _fits(number):
        raise ValueError(stored)
    return number


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_from_json = json.JSONDecoder(parse_constant=_refuse).decode
