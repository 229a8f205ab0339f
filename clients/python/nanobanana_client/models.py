"""What the server answers with. The fields are those of docs/openapi.yaml, in snake_case."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

Role = Literal["user", "assistant", "model", "system"]
T = TypeVar("T")


@dataclass(frozen=True)
class User:
    id: str
    email: str
    email_verified: bool
    username: str
    avatar: str | None
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None
    is_active: bool


@dataclass(frozen=True)
class Limits:
    """None where there is none."""

    images: int | None
    bytes: int | None


@dataclass(frozen=True)
class Usage:
    """What the account has; `bytes` of its pictures, `messages` of deleted sessions too."""

    images: int
    bytes: int
    sessions: int
    trashed_sessions: int
    messages: int
    limits: Limits


@dataclass(frozen=True)
class Device:
    """A sign-in of this account; `current` is the one that asks."""

    id: str
    name: str
    ip: str
    created_at: datetime
    last_seen_at: datetime
    current: bool


@dataclass(frozen=True)
class Session:
    id: str
    user_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    message_count: int
    deleted_at: datetime | None
    pinned: bool
    archived: bool
    tags: list[str]


@dataclass(frozen=True)
class Stats:
    message_count: int
    total_messages: int
    image_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Image:
    """The addresses are signed, good as they are in an <img>, for about a day.

    `path` is the original, `display_path` what browsers show of it, `variants` smaller sizes by name. Old
    pictures have neither `blurhash` nor `dominant_color`, nor has a large one while its `status` is
    `processing`: `image_updated` tells when it is `ready`, or `failed` for a `reason`.
    """

    id: str
    session_id: str
    user_id: str
    type: str
    path: str
    status: str
    reason: str | None
    thumb_path: str
    display_path: str
    variants: dict[str, str]
    blurhash: str | None
    dominant_color: str | None
    sha256: str
    mime: str
    width: int
    height: int
    size: int
    ref_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class DirectUpload:
    """Where to put the bytes of a picture, by `method` and with these headers, before it is completed."""

    id: str
    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class Message:
    """`revision` is how often it was changed."""

    id: str
    session_id: str
    role: Role
    text: str
    params: dict[str, Any]
    image_ids: list[str]
    created_at: datetime
    updated_at: datetime
    edited_of: str | None
    revision: int
    images: list[Image]


@dataclass(frozen=True)
class Pagination:
    limit: int
    offset: int
    total: int
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list. Begin a SyncClient with its `sync_cursor`, and nothing is missed in between."""

    items: list[T]
    pagination: Pagination
    sync_cursor: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Failure:
    """A file of a batch that was not taken; `error` is a code of docs/errors.md."""

    filename: str
    error: str
    message: str


@dataclass(frozen=True)
class BatchResult:
    successful: list[Image]
    failed: list[Failure]
    total: int


@dataclass(frozen=True)
class CleanUpResult:
    successful: list[str]
    failed: list[Failure]
    total: int


@dataclass(frozen=True)
class Ticket:
    """Opens one socket within `expires_in` seconds."""

    ticket: str
    expires_in: int


@dataclass(frozen=True)
class Health:
    """All but `status` is None where the server shows it to its operators alone."""

    status: Literal["ok", "unavailable"]
    timestamp: datetime | None
    services: dict[str, str] | None
    storage_type: str | None


@dataclass(frozen=True)
class PresentDevice:
    """A device of the account that has a socket in a session."""

    device_id: str
    name: str
    since: datetime


@dataclass(frozen=True)
class LogPage:
    """`events` are data frames as sockets have them; on `resync_required` reload, go on from `cursor`."""

    events: list[dict[str, Any]]
    cursor: str
    resync_required: bool


@dataclass(frozen=True)
class Revision:
    """What a message was from `updated_at` on."""

    revision: int
    text: str
    params: dict[str, Any]
    image_ids: list[str]
    updated_at: datetime


@dataclass(frozen=True)
class Branches:
    """The versions of a message, the oldest first; `active_id` is the one on the active branch."""

    branches: list[Message]
    active_id: str | None


@dataclass(frozen=True)
class SearchResult:
    """`highlights`: what matched in the text or the title, each from, to, in UTF-16 units."""

    type: Literal["message", "session"]
    session: Session
    message: Message | None
    highlights: list[list[int]]


@dataclass(frozen=True)
class SearchPagination:
    """As of all lists, but that `total` is None while it is not known."""

    limit: int
    offset: int
    total: int | None
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class SearchPage:
    items: list[SearchResult]
    pagination: SearchPagination
    sync_cursor: str | None

    def __iter__(self) -> Iterator[SearchResult]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
