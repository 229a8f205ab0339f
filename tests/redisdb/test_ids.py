"""Ids sort by the time they were made, and nothing else may pass for one."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanobanana.redisdb import ids
from nanobanana.redisdb.ids import is_id, new_id, time_of

MAKE_ONE_FOR_EACH_LINE = """
import sys
from nanobanana.redisdb.ids import new_id
for _ in sys.stdin:
    print(new_id(), flush=True)
"""


def test_an_id_has_the_form_of_a_ulid() -> None:
    identifier = new_id()
    assert len(identifier) == 26
    assert set(identifier) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert is_id(identifier)


def test_a_hundred_thousand_are_different_and_in_order() -> None:
    made = [new_id() for _ in range(100_000)]
    assert all(first < second for first, second in pairwise(made))


def test_two_processes_that_take_turns_make_ids_in_order() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE_ONE_FOR_EACH_LINE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        made = []
        for _ in range(500):
            made.append(new_id())
            other.stdin.write("\n")
            made.append(other.stdout.readline().strip())
    assert all(map(is_id, made))
    assert made == sorted(set(made))


def test_an_id_says_when_it_was_made() -> None:
    before = datetime.now(UTC)
    moment = time_of(new_id())
    assert before - timedelta(milliseconds=1) <= moment <= datetime.now(UTC)
    assert moment.microsecond % 1000 == 0


@pytest.mark.parametrize(
    ("identifier", "moment"),
    [
        ("00000000000000000000000000", datetime(1970, 1, 1, tzinfo=UTC)),
        ("01ARYZ6S41TSV4RRFFQ69G5FAV", datetime(2016, 7, 30, 22, 36, 16, 385_000, tzinfo=UTC)),
        ("76EZ91ZPZZZZZZZZZZZZZZZZZZ", datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
def test_the_time_is_read_to_the_millisecond(identifier: str, moment: datetime) -> None:
    assert is_id(identifier)
    assert time_of(identifier) == moment


def test_what_has_no_time_that_can_be_told_is_no_id() -> None:
    assert not is_id("76EZ91ZQ000000000000000000")
    assert not is_id("7" + "Z" * 25)


def test_ids_go_on_in_order_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last_time", ids._last_time)
    before = new_id()
    an_hour_ago = time.time_ns() - 3_600_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ago)
    assert before < new_id() < new_id()


def test_an_id_can_be_made_for_another_time() -> None:
    moment = datetime(2020, 2, 29, 12, 30, 45, 678_000, tzinfo=UTC)
    made = [new_id(at=moment) for _ in range(10_000)]
    assert all(map(is_id, made))
    assert {time_of(identifier) for identifier in made} == {moment}
    assert made == sorted(set(made)), "those of one millisecond are in the order they were made"
    assert max(made) < new_id()


def test_an_id_of_another_time_has_its_whole_milliseconds() -> None:
    moment = datetime(2020, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC)
    assert time_of(new_id(at=moment)) == moment.replace(microsecond=1000)
    for edge in (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
        assert is_id(new_id(at=edge))
        assert time_of(new_id(at=edge)) == edge.replace(microsecond=edge.microsecond // 1000 * 1000)
    with pytest.raises(ValueError):
        new_id(at=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))


@pytest.mark.parametrize(
    "nonsense",
    [
        "", "0", "0" * 25, "0" * 27, "8" + "0" * 25, "I" * 26, "L" * 26, "O" * 26, "U" * 26, "a" * 26,
        "0" * 26 + "\n", " " + "0" * 25, "0" * 25 + "}", "0" * 25 + "*", "٠" * 26, "Ｏ" * 26,
        "../" + "0" * 23, b"0" * 26, None, 0, ["0"] * 26, {},
    ],
)  # fmt: skip
def test_nonsense_is_no_id(nonsense: object) -> None:
    assert not is_id(nonsense)


@given(st.text() | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=24, max_size=28))
def test_what_passes_for_an_id_can_do_no_harm_in_a_key(text: str) -> None:
    if is_id(text):
        assert len(text) == 26
        assert text.isascii()
        assert text.isalnum()
        assert text[0] in "01234567"
