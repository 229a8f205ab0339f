"""JSON without what two parsers read differently: a key twice, an integer over 64 bits, NUL.

orjson reads it and does not tell; the standard library's parser sees these and takes five times as long.
"""

import json
import re
from typing import Any

import orjson

LARGEST = 2**64
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def loads(body: bytes) -> Any:
    """What the JSON says; ValueError, with the reason, when it is none or not strict."""
    value = orjson.loads(body)
    if b"\\u0000" in body and NUL.search(body):
        raise ValueError("it contains NUL")
    if not _is_plain(body, value):
        _read_again(body)
    return value


def _is_plain(body: bytes, value: Any) -> bool:
    """Whether it is an object of texts and there is a colon for each key, so none comes twice."""
    is_flat = type(value) is dict and all(type(inner) is str for inner in value.values())
    return is_flat and body.count(b":") == len(value)


def _read_again(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_distinct, parse_int=_moderate)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("an object has a key twice")


def _moderate(digits: str) -> None:
    if len(digits) > 20 or not -LARGEST < int(digits) < LARGEST:
        raise ValueError("a number needs more than 64 bits")
