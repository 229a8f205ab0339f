"""The request at hand and its user. The id is on its answer and in its error, both are in its log lines."""

import secrets
from contextvars import ContextVar

from nanobanana.redisdb import patience


class AtHand:
    """A request, the life of a socket, or a job; the user is known once a token was read."""

    __slots__ = ("request_id", "user_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.user_id: str | None = None


NOTHING = AtHand("-")
_current: ContextVar[AtHand] = ContextVar("at_hand", default=NOTHING)


def begin_request() -> str:
    """Give an id to what the running task does from here on: a request, or the life of a socket."""
    at_hand = AtHand(secrets.token_hex(8))
    _current.set(at_hand)
    patience.begin()
    return at_hand.request_id


def note_user(user_id: str) -> None:
    """It is this user's request; outside of one nothing is noted."""
    at_hand = _current.get()
    if at_hand is not NOTHING:
        at_hand.user_id = user_id


def at_hand() -> AtHand:
    return _current.get()


def request_id() -> str:
    """`-` outside of a request."""
    return _current.get().request_id
