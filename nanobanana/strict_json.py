"""JSON without what two parsers read differently: a key twice, an integer over 64 bits.

orjson reads it and does not tell; the standard library's parser sees these and takes five times as long.
"""

import json
from typing import Any

import orjson

SMALLEST, LARGEST = -(2**63), 2**64 - 1  # what orjson reads exactly; beyond, it would be rounded
LONGEST = 20  # characters of these
DEEPEST_PLAIN = 8
EXACT = frozenset((str, int, bool, type(None)))  # what orjson reads as it is written


def loads(body: bytes) -> Any:
    """What the JSON says; ValueError, with the reason, when it is none or not strict."""
    value = orjson.loads(body)
    if not _is_plain(body, value):
        _read_again(body)
    return value


def _is_plain(body: bytes, value: Any) -> bool:
    """Whether there is a colon for each key, so that none comes twice, and no number that was rounded."""
    try:
        return body.count(b":") == _keys_in(value, DEEPEST_PLAIN)
    except ValueError:
        return False


def _keys_in(value: Any, depth: int) -> int:
    """How many keys all its objects have; ValueError when it is deep or a float could be a large integer."""
    if type(value) in EXACT:
        return 0
    if type(value) is float and SMALLEST < value < LARGEST:
        return 0
    if type(value) is float or depth == 0:
        raise ValueError
    if type(value) is list:
        return sum([_keys_in(inner, depth - 1) for inner in value])
    return len(value) + sum([_keys_in(inner, depth - 1) for inner in value.values()])


def _read_again(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_distinct, parse_int=_moderate)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("an object has a key twice")


def _moderate(digits: str) -> None:
    if len(digits) > LONGEST or not SMALLEST <= int(digits) <= LARGEST:
        raise ValueError("a number needs more than 64 bits")
