"""The id of the request at hand: on its answer, in its error, and on every line it writes into a log."""

import secrets
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="-")


def begin_request() -> str:
    """Give an id to what the running task does from here on: a request, or the life of a socket."""
    identifier = secrets.token_hex(8)
    _current.set(identifier)
    return identifier


def request_id() -> str:
    """`-` outside of a request."""
    return _current.get()
