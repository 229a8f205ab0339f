"""Chats ("sessions") and their messages."""

from typing import ClassVar

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
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.models import Model

DEFAULT_TITLE = "New Chat"
TITLE_BY_DEFAULT, TITLE_FROM_TEXT, TITLE_BY_PERSON = "default", "text", "person"


LATEST = Index("sessions", score="updated_at", unless="archived_at", lead="pinned_at")
ARCHIVED = Index("sessions:archived", score="updated_at", where="archived_at")
TAGGED = Index("tag:{tags}", score="created_at", each="tags")
TRASHED = Index("trash", score="deleted_at")


class Session(Model):
    """A chat. `title_origin` says where the title came from: a person's is never replaced."""

    kind = "session"
    title = TextField(default=DEFAULT_TITLE)
    title_origin = TextField(default=TITLE_BY_DEFAULT)
    message_count = CounterField()
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)
    deleted_at = Nullable(DateTimeField())
    pinned_at = Nullable(DateTimeField())
    archived_at = Nullable(DateTimeField())
    tags = JSONField(default=list)

    indexes: ClassVar[tuple[Index, ...]] = (LATEST, ARCHIVED, TAGGED)
    objects = SessionManager()


class TrashedSession(Session):
    """A deleted chat: the same object under another key, so that for everyone else it does not exist."""

    kind = "trashed-session"
    indexes = (TRASHED,)
    objects = SessionManager()


class Message(Model):
    """A message; `revision` counts its changes."""

    kind = "message"
    session_id = ReferenceField(to="session")
    role = TextField()
    text = TextField(default="")
    params = JSONField(default=dict)
    image_ids = ReferenceListField(to="image")
    edited_of = Nullable(TextField())
    revision = CounterField()
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)

    indexes = (Index("session:{session_id}:messages", score="created_at"),)
    objects = MessageManager()
