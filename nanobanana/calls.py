"""How the calls of a viewset are described: a table of `Call`, one for each action.

What follows from the viewset and the method (token, budget, cursor, most errors) is not repeated in a table:
nanobanana/schema.py adds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rest_framework import serializers

from nanobanana.errors import APIError
from nanobanana.serializers import CursorField

Fields = Mapping[str, serializers.Field]


@dataclass(frozen=True)
class Answer:
    """An answer that is no error: the fields of an object, or the bytes of one of some media types."""

    fields: Fields = field(default_factory=dict)
    media_types: tuple[str, ...] = ()  # of bytes
    headers: tuple[str, ...] = ()  # of its own, as nanobanana/schema.py describes them
    description: str = "Done."


FILE_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")
STILL_GOOD = "The copy that `If-None-Match` names is still good."
UNCHANGED = Answer(headers=FILE_HEADERS, description=STILL_GOOD)
SAME_REVISION = Answer(headers=("ETag",), description=STILL_GOOD)


@dataclass(frozen=True)
class Call:
    """What one action takes and answers. The summary, without articles, is also the operation's name."""

    summary: str
    answer: Fields | None = None
    details: str = ""
    status: int = 200
    body: type[serializers.Serializer] | None = None
    form: Fields | None = None  # files, besides the fields of `body`, as multipart/form-data
    content: tuple[str, ...] = ()  # the media types of a body that is bytes
    query: Fields = field(default_factory=dict)
    path: Fields = field(default_factory=dict)  # of parameters that are no ids
    takes_if_match: bool = False
    has_etag: bool = False  # its answer holds an object at a revision
    knows_token: bool = False  # a token is of use, but need not be sent
    errors: tuple[type[APIError], ...] = ()
    other_answers: Mapping[int, Answer] = field(default_factory=dict)


def sentence() -> Fields:
    """What most writes answer besides the object."""
    return {"message": serializers.CharField(help_text="What was done, as a sentence for people.")}


def page_query(limit: int) -> Fields:
    """The parameters of all lists."""
    return {
        "limit": serializers.IntegerField(
            min_value=1, max_value=100, default=limit, help_text="How many objects a page has at most."
        ),
        "offset": serializers.IntegerField(
            min_value=0, max_value=1_000_000_000, default=0, help_text="How many objects to pass over."
        ),
        "cursor": CursorField(
            required=False,
            help_text="The `nextCursor` of an answer: go on from there. It goes before `offset`.",
        ),
    }
