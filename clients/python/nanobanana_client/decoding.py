"""JSON as the server sends it into dataclasses: camelCase into snake_case, times into datetime."""

import re
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(kind: type[T], data: dict[str, Any]) -> T:
    """An instance of a dataclass.

    What a newer server adds is left out, what an older one does not have yet is None: neither ends a
    program that was fine before.
    """
    names = json_names(kind)  # type: ignore[arg-type]  # a class is hashable
    return kind(**{name: _value(hint, data.get(key)) for name, (key, hint) in names.items()})


@cache
def json_names(kind: type) -> dict[str, tuple[str, Any]]:
    """Of each field, its name in JSON and its type."""
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    return {field.name: (camel_case(field.name), hints[field.name]) for field in fields(kind)}


def camel_case(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _value(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(hint, UnionType):  # … | None
        hint = get_args(hint)[0]
    if get_origin(hint) is list:
        return [_value(get_args(hint)[0], each) for each in value]
    if hint is datetime:
        return datetime.fromisoformat(value)
    return decode(hint, value) if isinstance(hint, type) and is_dataclass(hint) else value
