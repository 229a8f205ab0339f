"""The query parameters of a search, strictly read."""

import re
from datetime import UTC, datetime, timedelta

from django.http import QueryDict

from chats.search.indexing import Narrowing, Range
from chats.search.query import LONGEST_QUERY
from nanobanana.errors import ValidationFailed
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.ids import first_id

DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
FLAGS = {"true": True, "false": False}


def text_of(query: QueryDict) -> str:
    text = query.get("q", "")
    if not 0 < len(text) <= LONGEST_QUERY:
        raise _refusal("q", f"This must have 1 to {LONGEST_QUERY} characters.")
    return text


def one_of(query: QueryDict, name: str, choices: tuple[str, ...]) -> str | None:
    choice = query.get(name)
    if choice is not None and choice not in choices:
        raise _refusal(name, f"This must be one of {', '.join(choices)}.")
    return choice


def narrowing_of(query: QueryDict, roles: tuple[str, ...]) -> Narrowing:
    has_image = one_of(query, "hasImage", tuple(FLAGS))
    return Narrowing(
        session_id=query.get("sessionId") or None,
        role=one_of(query, "role", roles),
        has_image=None if has_image is None else FLAGS[has_image],
    )


def range_of(query: QueryDict) -> Range:
    """From the first moment of `from` to the last of `to`."""
    since, until = _moments(query, "from"), _moments(query, "to")
    return Range(
        behind=first_id(milliseconds(until[1]) + 1) if until else None,
        since=first_id(milliseconds(since[0])) if since else None,
    )


def _moments(query: QueryDict, name: str) -> tuple[datetime, datetime] | None:
    """The first and the last moment meant: of a day, or the same one twice."""
    text = query.get(name)
    if text is None:
        return None
    try:
        if DAY.fullmatch(text):
            day = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return day, day + timedelta(days=1, milliseconds=-1)
        if MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
            return moment, moment
    except (ValueError, OverflowError):
        pass  # such a day there is not
    raise _refusal(name, "This must be a day, 2026-01-31, or a moment, 2026-01-31T12:00:00Z.")


def _refusal(name: str, sentence: str) -> ValidationFailed:
    return ValidationFailed(details={name: [sentence]})
