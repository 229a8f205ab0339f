"""Which part of a list a query asks for, and what the answer says of it."""

from datetime import UTC, datetime

import pytest
from django.http import QueryDict

from nanobanana.errors import ValidationFailed
from nanobanana.pagination import listing, message_window_of, window_of
from nanobanana.redisdb.fields import DateTimeField, milliseconds
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.models import Model

FAR_FUTURE = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"  # a well-formed id of the year 10889

SOME_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


BY_AGE = Index("notes", score="made_at")


class Note(Model):
    kind = "note"
    made_at = DateTimeField()


def window(query: str) -> Window:
    return window_of(QueryDict(query), limit=20, descending=True)


def refused(query: str) -> set[str]:
    """The parameters that are named as wrong."""
    with pytest.raises(ValidationFailed) as error:
        message_window_of(QueryDict(query), limit=50)
    assert error.value.details
    return set(error.value.details)


def test_without_parameters_it_is_the_first_page() -> None:
    assert window("") == Window(limit=20, offset=0, descending=True)
    assert window("unknown=1") == window("")


def test_limit_and_offset_are_whole_numbers_within_bounds() -> None:
    assert window("limit=1&offset=0") == Window(limit=1, descending=True)
    assert window("limit=100&offset=1000000000") == Window(limit=100, offset=1_000_000_000, descending=True)


@pytest.mark.parametrize(
    "value", ["0", "101", "-1", "1.5", "1e1", "", " 5", "+5", "five", "٥", "9" * 20, "0x5"]
)
def test_another_limit_is_refused_and_not_guessed(value: str) -> None:
    query = QueryDict(mutable=True)
    query["limit"] = value
    assert refused(query.urlencode()) == {"limit"}


@pytest.mark.parametrize("value", ["-1", "1000000001", "1.0", "", "one", "9" * 400])
def test_another_offset_is_refused(value: str) -> None:
    assert refused(f"offset={value}") == {"offset"}


def test_a_cursor_goes_before_an_offset() -> None:
    identifier = new_id()
    behind = ("1738000000000", identifier)
    assert window(f"cursor=1738000000000:{identifier}&offset=7").behind == behind


@pytest.mark.parametrize(
    "cursor",
    ["x", ":", SOME_ID, f":{SOME_ID}", f"-5:{SOME_ID}", f"1.5:{SOME_ID}", "5:x", "5:*", "5:"],
)
def test_what_is_no_cursor_of_ours_is_refused(cursor: str) -> None:
    assert refused(f"cursor={cursor}") == {"cursor"}


# ---- messages
def test_messages_come_oldest_first_unless_asked_otherwise() -> None:
    ascending, descending = Window(limit=50), Window(limit=50, descending=True)
    assert message_window_of(QueryDict(""), limit=50) == (ascending, False)
    assert message_window_of(QueryDict("order=asc"), limit=50) == (ascending, False)
    assert message_window_of(QueryDict("order=desc"), limit=50) == (descending, False)


@pytest.mark.parametrize(
    ("query", "reads_backwards", "turned"),
    [
        ("after={id}", False, False),
        ("after={id}&order=desc", False, True),
        ("before={id}", True, True),
        ("before={id}&order=desc", True, False),
    ],
)
def test_before_reads_backwards_and_after_forwards_whatever_the_order(
    query: str, reads_backwards: bool, turned: bool
) -> None:
    identifier = new_id()
    found, is_turned = message_window_of(QueryDict(query.format(id=identifier)), limit=50)
    assert (found.descending, is_turned) == (reads_backwards, turned)
    assert found.behind == (str(milliseconds(time_of(identifier))), identifier)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("order=up", {"order"}),
        ("order=", {"order"}),
        ("before=x", {"before"}),
        ("after=*", {"after"}),
        (f"before={FAR_FUTURE}", {"before"}),
        (f"after={FAR_FUTURE}", {"after"}),
        (f"before={SOME_ID.lower()}", {"before"}),
        (f"before={SOME_ID}&after={SOME_ID}", {"before"}),
        (f"before={SOME_ID}&limit=0", {"limit"}),
    ],
)
def test_what_makes_no_sense_is_refused(query: str, fields: set[str]) -> None:
    assert refused(query) == fields


# ---- what the answer says
def page(count: int, *, total: int, first: int = 0) -> Page[Note]:
    owner, moment = new_id(), datetime(2025, 1, 27, 10, tzinfo=UTC)
    return Page([Note(owner, new_id(), made_at=moment) for _ in range(count)], total, first)


def test_it_says_where_the_next_page_starts() -> None:
    found = page(2, total=5, first=1)
    answer = listing(found, Window(limit=2, offset=1), index=BY_AGE)
    assert answer.objects == found.objects
    assert answer.pagination == {
        "limit": 2,
        "offset": 1,
        "total": 5,
        "hasMore": True,
        "nextCursor": f"1737972000000:{found.objects[-1].id}",
    }


def test_its_cursor_is_taken_again() -> None:
    found = page(2, total=5)
    cursor = listing(found, Window(limit=2), index=BY_AGE).pagination["nextCursor"]
    assert window(f"cursor={cursor}").behind == ("1737972000000", found.objects[-1].id)


@pytest.mark.parametrize(("count", "total", "first"), [(2, 2, 0), (0, 0, 0), (1, 5, 4), (0, 5, 9)])
def test_the_last_page_has_no_next_one(count: int, total: int, first: int) -> None:
    pagination = listing(page(count, total=total, first=first), Window(limit=2), index=BY_AGE).pagination
    assert (pagination["hasMore"], pagination["nextCursor"]) == (False, None)
    assert pagination["total"] == total


def test_a_page_can_be_turned_round() -> None:
    found = page(3, total=5)
    answer = listing(found, Window(limit=3), index=BY_AGE, turned=True)
    assert answer.objects == found.objects[::-1]
    assert answer.pagination["nextCursor"].endswith(found.objects[-1].id)
