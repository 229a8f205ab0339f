"""Where an error came from, without what it was about.

A trace has no values of variables, and the words of an error only of kinds that are made of names and of what
the system says. Those of others, `ValueError` above all, may quote a message, a password, a token.
"""

import traceback
from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError

from nanobanana.errors import APIError

PLAIN = (
    APIError,
    ImproperlyConfigured,
    RedisError,
    OSError,
    ImportError,
    NameError,
    AttributeError,
    TypeError,
)
LEFT_OUT = "(its words are left out: they may be a user's)"


def trace_of(error: BaseException) -> str:
    """As Python prints it, the cause first."""
    return "\n".join(_parts_of(error, seen=set()))


def words_of(error: BaseException) -> str:
    words = str(error) if isinstance(error, PLAIN) else LEFT_OUT
    return f"{type(error).__module__}.{type(error).__qualname__}: {words}"


def _parts_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if origin is not None and id(origin) not in seen:
        yield from _parts_of(origin, seen)
        yield "... and while that was dealt with, or because of it:"
    yield "".join(["Traceback:\n", *traceback.format_tb(error.__traceback__), words_of(error)])
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions, 1):
            yield f"--- part {number} ---"
            yield from _parts_of(part, seen)
