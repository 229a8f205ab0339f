"""Why the server closes a socket. `docs/websocket.md` says what a client does about each."""

from enum import IntEnum

from nanobanana.errors import (
    APIError,
    Conflict,
    Forbidden,
    NotFound,
    ServiceUnavailable,
    StorageFull,
    TooManyRequests,
    Unauthorized,
)
from nanobanana.metrics import OTHER


class CloseCode(IntEnum):
    INTERNAL_ERROR = 1011
    RESTARTING = 1012
    TRY_AGAIN_LATER = 1013
    TOO_SLOW = 4008
    SILENT = 4012
    TOO_MANY_SOCKETS = 4013
    TOO_MANY_FRAMES = 4029
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404


def close_code_of(error: APIError) -> CloseCode:
    """The code that refuses a connection for this error."""
    match error:
        case Unauthorized():
            return CloseCode.UNAUTHORIZED
        case Forbidden():
            return CloseCode.FORBIDDEN
        case NotFound():
            return CloseCode.NOT_FOUND
        case Conflict():
            return CloseCode.TOO_MANY_SOCKETS
        case ServiceUnavailable() | StorageFull() | TooManyRequests():
            return CloseCode.TRY_AGAIN_LATER
    return CloseCode.INTERNAL_ERROR


KNOWN = {*CloseCode, 1000, 1001, 1002, 1005, 1006, 1009}  # ours, and how clients and networks end sockets


def label_of(code: int) -> str:
    """Of a metric: a client may send any code."""
    return str(int(code)) if code in KNOWN else OTHER
