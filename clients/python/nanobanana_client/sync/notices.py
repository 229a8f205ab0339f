"""What a SyncClient tells its handlers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from nanobanana_client.decoding import decode
from nanobanana_client.errors import ApiError
from nanobanana_client.models import Image, Message, PresentDevice, Session, User

ChangeType = Literal[
    "session_created",
    "session_updated",
    "session_deleted",
    "session_restored",
    "message_created",
    "message_updated",
    "message_deleted",
    "image_created",
    "image_updated",
    "image_deleted",
    "user_updated",
]
NoticeType = (
    ChangeType
    | Literal[
        "change",
        "status",
        "connected",
        "resynced",
        "joined_session",
        "left_session",
        "user_typing",
        "presence",
        "error",
        "ended",
    ]
)
Status = Literal["connecting", "live", "polling", "waiting", "ended"]


@dataclass(frozen=True)
class Change:
    """An event of the log: the whole object as it then was, or the ids of what is gone."""

    type: ChangeType
    cursor: str
    timestamp: datetime
    session_id: str | None
    message_id: str | None = None
    image_id: str | None = None
    session: Session | None = None
    message: Message | None = None
    image: Image | None = None
    user: User | None = None


@dataclass(frozen=True)
class StatusChange:
    status: Status


@dataclass(frozen=True)
class Connected:
    """A socket is open; `recovered` says that what was missed comes now."""

    connection_id: str
    device_id: str
    session_ids: list[str]
    cursor: str
    recovered: bool


@dataclass(frozen=True)
class Resynced:
    """Too much was missed: load what is shown by REST. From `cursor` on, what comes is complete again."""

    cursor: str


@dataclass(frozen=True)
class Joined:
    """From now on this session's events come: load its messages now."""

    session_id: str


@dataclass(frozen=True)
class Left:
    """No more events of this session come, because of `leave`, or because it is gone."""

    session_id: str


@dataclass(frozen=True)
class Typing:
    session_id: str
    device_id: str
    connection_id: str
    is_typing: bool


@dataclass(frozen=True)
class Presence:
    """Who of the account is in a session: all of them, this device too."""

    session_id: str
    devices: list[PresentDevice]


@dataclass(frozen=True)
class Ended:
    """The server does not take this device any more; `error` says why."""

    error: ApiError


def change_of(frame: dict[str, Any]) -> Change:
    """The change that a data frame tells of."""
    payload = frame["payload"]
    ids = {f"{noun}Id": payload[noun]["id"] for noun in ("message", "image") if noun in payload}
    return decode(Change, {**frame, **ids, **payload})
