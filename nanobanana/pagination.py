"""Parts of lists: `limit`, `offset`, `cursor`, `before`, `after`, `order`; the `pagination` of an answer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.http import QueryDict
from rest_framework import serializers

from nanobanana.errors import ValidationFailed
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.ids import is_id, time_of
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.managers import Page, Window
from nanobanana.serializers import CursorField

T = TypeVar("T")
MOST = 100
LARGEST_OFFSET = 1_000_000_000


class PaginationSerializer(serializers.Serializer):
    limit = serializers.IntegerField(
        min_value=1, max_value=MOST, help_text="How many objects a page has at most."
    )
    offset = serializers.IntegerField(min_value=0, help_text="How many objects come before this page.")
    total = serializers.IntegerField(min_value=0, help_text="How many objects the whole list has.")
    hasMore = serializers.BooleanField(help_text="Whether there is a next page.")
    nextCursor = CursorField(allow_null=True, help_text="The `cursor` of the next page.")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A page as it is answered: objects in the order asked for, and where the next page starts."""

    objects: Sequence[T]
    pagination: dict[str, Any]


def window_of(query: QueryDict, *, limit: int, descending: bool) -> Window:
    """The window the query asks for; `cursor` is the `nextCursor` of an answer and goes before `offset`."""
    cursor = query.get("cursor", "")
    return Window(
        limit=_whole_number(query, "limit", limit, at_least=1, at_most=MOST),
        offset=_whole_number(query, "offset", 0, at_least=0, at_most=LARGEST_OFFSET),
        descending=descending,
        behind=_position(cursor) if cursor else None,
    )


def message_window_of(query: QueryDict, *, limit: int) -> tuple[Window, bool]:
    """The same with `order=asc|desc` and `before`/`after` a message, and whether to turn the page round.

    `before` reads backwards from its message and `after` forwards, whatever the order of the answer.
    """
    order = choice_of(query, "order", ("asc", "desc"))
    before, after = query.get("before", ""), query.get("after", "")
    if before and after:
        raise ValidationFailed(details={"before": ["Give before or after, not both."]})
    descending = bool(before) or (order == "desc" and not after)
    window = window_of(query, limit=limit, descending=descending)
    if (before or after) and window.behind is None:
        behind = _position_of_id("before" if before else "after", before or after)
        window = Window(window.limit, descending=descending, behind=behind)
    return window, descending != (order == "desc")


def choice_of(query: QueryDict, name: str, choices: Sequence[str]) -> str:
    """Which of the choices the query names; the first when it names none."""
    choice = query.get(name, choices[0])
    if choice not in choices:
        raise ValidationFailed(details={name: [f"This must be {' or '.join(choices)}."]})
    return choice


def listing(page: Page[T], window: Window, *, index: Index, turned: bool = False) -> Listing[T]:
    """`index` is the one the page is of."""
    following = None
    if page.has_more and page.objects:
        last: Any = page.objects[-1]
        following = f"{index.score_in(last.__dict__)}:{last.id}"
    pagination = {
        "limit": window.limit,
        "offset": page.first,
        "total": page.total,
        "hasMore": page.has_more,
        "nextCursor": following,
    }
    return Listing(page.objects[::-1] if turned else page.objects, pagination)


def _whole_number(query: QueryDict, name: str, default: int, *, at_least: int, at_most: int) -> int:
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,10}", text) or not at_least <= int(text) <= at_most:
        raise ValidationFailed(details={name: [f"This must be a whole number from {at_least} to {at_most}."]})
    return int(text)


def _position(cursor: str) -> tuple[str, str]:
    score, _, identifier = cursor.partition(":")
    if not re.fullmatch(r"[0-9]{1,15}", score) or not is_id(identifier):
        raise ValidationFailed(details={"cursor": ["This must be the nextCursor of an answer."]})
    return score, identifier


def _position_of_id(name: str, identifier: str) -> tuple[str, str]:
    if not is_id(identifier):
        raise ValidationFailed(details={name: ["This must be the id of a message."]})
    return str(milliseconds(time_of(identifier))), identifier
