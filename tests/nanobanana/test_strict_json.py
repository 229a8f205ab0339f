"""JSON that every parser reads alike, and nothing else."""

from typing import Any

import pytest

from nanobanana import strict_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b'{"a": ": : :"}', {"a": ": : :"}),
        (b'{"a": {"b": [1, {"c": null}]}, "d": -0.5}', {"a": {"b": [1, {"c": None}]}, "d": -0.5}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"[9.3e18, 1e300]", [9.3e18, 1e300]),
        (b"[" * 12 + b"]" * 12, [[[[[[[[[[[[]]]]]]]]]]]]),
    ],
)
def test_it_is_read(body: bytes, value: Any) -> None:
    assert strict_json.loads(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": [[{"b": 1, "b": {}}]]}',
        b'{"a": {}, "a": {"b": 1}}',
        b"18446744073709551616",
        b'{"a": [-9223372036854775809]}',
        b'{"a": {"b": 1e999}}',
        b"[NaN]",
    ],
)
def test_what_parsers_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        strict_json.loads(body)
