"""Chats ("sessions") and their messages."""

from collections.abc import Iterator
from typing import Any, ClassVar

from chats.managers import MessageManager, SessionManager
from nanobanana.redisdb.fields import (
    CounterField,
    DateTimeField,
    JSONField,
    Nullable,
    ReferenceField,
    ReferenceListField,
    TextField,
    now,
)
from nanobanana.redisdb.ids import time_of
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.tallies import References

DEFAULT_TITLE = "New Chat"
TITLE_BY_DEFAULT, TITLE_FROM_TEXT, TITLE_BY_PERSON = "default", "text", "person"


LATEST = Index("sessions", score="updated_at", unless="archived_at", lead="pinned_at")
ARCHIVED = Index("sessions:archived", score="updated_at", where="archived_at")
TAGGED = Index("tag:{tags}", score="created_at", each="tags")
TRASHED = Index("trash", score="deleted_at")
HIDDEN = Index("hidden", score="removable_at")


class Session(Model):
    """A chat. `title_origin` says where the title came from: a person's is never replaced."""

    kind = "session"
    title = TextField(default=DEFAULT_TITLE)
    title_origin = TextField(default=TITLE_BY_DEFAULT)
    message_count = CounterField(counts=References("message", "session_id"))
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)
    deleted_at = Nullable(DateTimeField())
    pinned_at = Nullable(DateTimeField())
    archived_at = Nullable(DateTimeField())
    tags = JSONField(default=list)

    indexes: ClassVar[tuple[Index, ...]] = (LATEST, ARCHIVED, TAGGED)
    objects: ClassVar[SessionManager[Any]] = SessionManager()


class TrashedSession(Session):
    """A deleted chat: the same object under another key, so that for everyone else it does not exist."""

    kind = "trashed-session"
    indexes = (TRASHED,)
    objects = SessionManager()


class HiddenSession(Session):
    """A chat that nobody sees: one being copied or brought in, or one being removed.

    Whoever fills it puts off the time from which it may be removed with each step, and expects the time it
    knows; so a removal that has begun cannot be overtaken.
    """

    kind = "hidden-session"
    removable_at = DateTimeField()
    indexes = (HIDDEN,)
    objects = SessionManager()


class Message(Model):
    """A message; `revision` counts its changes. It is as old as its id: `created_at` is `time_of(id)`."""

    kind = "message"
    session_id = ReferenceField(to="session")
    role = TextField()
    text = TextField(default="")
    params = JSONField(default=dict)
    image_ids = ReferenceListField(to="image")
    edited_of = Nullable(ReferenceField(to="message", may_dangle=True))
    revision = CounterField()
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)

    indexes = (
        Index("session:{session_id}:messages", score="created_at"),
        Index("session:{session_id}:edits", score="created_at", where="edited_of"),
    )
    objects = MessageManager()

    def flaws(self) -> Iterator[str]:
        if self.created_at != time_of(self.id):
            yield f"{self!r} is not as old as its id."
