"""Every frame the server sends, and how it is encoded. `docs/websocket.md` explains them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict

import orjson

from nanobanana.errors import APIError
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.fields import now
from nanobanana.serializers import timestamp

TEXT = 0x81  # a text message of one frame


class Frame:
    """An encoded frame, made once however many sockets it goes to."""

    __slots__ = ("_head", "_text", "size", "wire")

    def __init__(self, encoded: bytes) -> None:
        self.size = len(encoded)
        head = head_of(self.size)
        self._head = len(head)
        self._text = ""
        # As it goes over the wire: a server's text frame has no mask, so it is the same for all sockets.
        self.wire = head + encoded

    @property
    def text(self) -> str:
        """What is in it; made when a socket that could not be written to at once has its turn."""
        self._text = self._text or self.wire[self._head :].decode()
        return self._text


def head_of(size: int) -> bytes:
    """What RFC 6455 puts before the payload of a text frame that is whole."""
    if size < 126:
        return bytes((TEXT, size))
    if size < 65536:
        return bytes((TEXT, 126)) + size.to_bytes(2, "big")
    return bytes((TEXT, 127)) + size.to_bytes(8, "big")


class Connected(TypedDict):
    type: Literal["connected"]
    sessionId: str
    sessionIds: list[str]
    userId: str
    deviceId: str
    connectionId: str
    cursor: str
    recovered: bool
    timestamp: str


class ResyncRequired(TypedDict):
    type: Literal["resync_required"]
    cursor: str


class JoinedSession(TypedDict):
    type: Literal["joined_session"]
    sessionId: str
    timestamp: str


class LeftSession(TypedDict):
    type: Literal["left_session"]
    sessionId: str
    timestamp: str


class UserTyping(TypedDict):
    type: Literal["user_typing"]
    sessionId: str
    userId: str
    deviceId: str
    connectionId: str
    isTyping: bool
    timestamp: str


class PresentDevice(TypedDict):
    deviceId: str
    name: str
    since: str


class Presence(TypedDict):
    type: Literal["presence"]
    sessionId: str
    payload: dict[str, list[PresentDevice]]


class Ping(TypedDict):
    type: Literal["ping"]
    cursor: str


class Pong(TypedDict):
    type: Literal["pong"]


class TokenExpired(TypedDict):
    type: Literal["token_expired"]
    expiresAt: str


class Authenticated(TypedDict):
    type: Literal["authenticated"]
    expiresAt: str


class Error(TypedDict):
    type: Literal["error"]
    code: str
    message: str
    details: NotRequired[dict[str, list[str]]]


class DataEvent(TypedDict):
    """An event of the log; `type` is the name of a class in `nanobanana/events.py`."""

    type: str
    sessionId: str | None
    payload: dict[str, Any]
    cursor: str
    timestamp: str


SERVER_FRAMES = (
    Connected,
    ResyncRequired,
    JoinedSession,
    LeftSession,
    UserTyping,
    Presence,
    Ping,
    Pong,
    TokenExpired,
    Authenticated,
    Error,
    DataEvent,
)


def encode(content: Mapping[str, Any]) -> Frame:
    return Frame(orjson.dumps(content))


def resync_required(cursor: Cursor) -> Frame:
    return encode(ResyncRequired(type="resync_required", cursor=str(cursor)))


def joined_session(session_id: str) -> Frame:
    return encode(JoinedSession(type="joined_session", sessionId=session_id, timestamp=moment()))


def left_session(session_id: str) -> Frame:
    return encode(LeftSession(type="left_session", sessionId=session_id, timestamp=moment()))


def ping(cursor: Cursor) -> Frame:
    return encode(Ping(type="ping", cursor=str(cursor)))


def pong() -> Frame:
    return encode(Pong(type="pong"))


def token_expired(expires_at: int) -> Frame:
    return encode(TokenExpired(type="token_expired", expiresAt=moment_of(expires_at)))


def authenticated(expires_at: int) -> Frame:
    return encode(Authenticated(type="authenticated", expiresAt=moment_of(expires_at)))


def error(problem: APIError) -> Frame:
    content = Error(type="error", code=problem.code, message=problem.message)
    if problem.details:
        content["details"] = problem.details
    return encode(content)


def moment() -> str:
    """This moment, as frames say it."""
    return str(timestamp(now()))


def moment_of(seconds: float) -> str:
    """A moment in Unix seconds, as frames say it."""
    return str(timestamp(datetime.fromtimestamp(seconds, UTC)))
