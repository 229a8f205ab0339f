"""What stands in an archive: the names of its entries and the records in them (docs/archive-format.md).

What is written is made by functions of here, what is accepted passes the serializers. Ids in an archive are
names inside it and nothing else.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import orjson
from django.core.validators import RegexValidator
from rest_framework import serializers

from chats.models import TITLE_BY_DEFAULT, TITLE_BY_PERSON, TITLE_FROM_TEXT, Message, Session
from chats.serializers import (
    LONGEST_TEXT,
    LONGEST_TITLE,
    ROLES,
    TAGS_OF_A_SESSION,
    ParamsField,
    TagListField,
    render_message,
    render_session,
)
from chats.services.messages import IMAGES_OF_A_MESSAGE
from media_store.models import Image
from media_store.serializers import TYPE
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import EPOCH
from nanobanana.serializers import TextField, timestamp

FORMAT = "nanobanana-archive"
VERSION = 1
SESSION, ACCOUNT = "session", "account"  # what an archive is of

MANIFEST = "manifest.json"
USER = "user.json"
IMAGES = "images.jsonl"
NAME = "[A-Za-z0-9_-]{1,64}"  # of an object in an archive; that of ours is its id
ENTRY = re.compile(
    rf"{MANIFEST}|{USER}|{IMAGES}|images/{NAME}\.[a-z]{{3,4}}"
    rf"|sessions/{NAME}/(?:session\.json|messages\.jsonl|messages\.md)"
)
SESSION_FOLDER = re.compile(rf"sessions/({NAME})/.+")

MESSAGE_FIELDS = ("id", "role", "text", "params", "imageIds", "createdAt", "updatedAt", "editedOf")
CLOCKS_DIFFER = timedelta(days=1)


def session_entry(session_id: str) -> str:
    return f"sessions/{session_id}/session.json"


def messages_entry(session_id: str) -> str:
    return f"sessions/{session_id}/messages.jsonl"


def markdown_entry(session_id: str) -> str:
    return f"sessions/{session_id}/messages.md"


def image_entry(image: Image) -> str:
    return f"images/{image.id}.{image.mime.removeprefix('image/')}"


def line_of(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record) + b"\n"


# ---- what is accepted
class NameField(serializers.RegexField):
    """The id of something in the archive."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rf"^{NAME}\Z", **options)


class PastField(serializers.DateTimeField):
    """A moment that has been, give or take what clocks differ; ids can be made for it."""

    def to_internal_value(self, value: Any) -> Any:
        moment = super().to_internal_value(value)
        if not EPOCH <= moment <= now() + CLOCKS_DIFFER:
            raise serializers.ValidationError("This must be a time from 1970 to now.")
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class ManifestSerializer(serializers.Serializer):
    format = serializers.ChoiceField(choices=(FORMAT,))
    version = serializers.ChoiceField(choices=(VERSION,))
    kind = serializers.ChoiceField(choices=(SESSION, ACCOUNT))
    missing = serializers.ListField(child=NameField(), required=False, default=list)


class SessionRecordSerializer(serializers.Serializer):
    id = NameField()
    title = TextField(max_length=LONGEST_TITLE, trim_whitespace=True)
    titleOrigin = serializers.ChoiceField(
        choices=(TITLE_BY_DEFAULT, TITLE_FROM_TEXT, TITLE_BY_PERSON), default=TITLE_BY_PERSON
    )
    createdAt = PastField()
    updatedAt = PastField()
    pinnedAt = PastField(allow_null=True, default=None)
    archivedAt = PastField(allow_null=True, default=None)
    tags = TagListField(default=list, max_length=TAGS_OF_A_SESSION)
    messageCount = serializers.IntegerField(min_value=0, default=0)


class MessageRecordSerializer(serializers.Serializer):
    """The rules of `POST /api/sessions/:id/messages`; one that was emptied later is taken as it is."""

    id = NameField()
    role = serializers.ChoiceField(choices=ROLES)
    text = TextField(required=False, default="", allow_blank=True, max_length=LONGEST_TEXT)
    params = ParamsField(required=False, allow_null=True, default=dict)
    imageIds = serializers.ListField(
        child=NameField(), required=False, default=list, max_length=IMAGES_OF_A_MESSAGE
    )
    createdAt = PastField()
    updatedAt = PastField()
    editedOf = NameField(required=False, allow_null=True, default=None)


class ImageRecordSerializer(serializers.Serializer):
    """What else a record says of a picture is found out anew."""

    id = NameField()
    sessionId = NameField()
    type = TextField(max_length=32, validators=[TYPE])
    createdAt = PastField()
    filename = TextField(
        validators=[RegexValidator(rf"^images/{NAME}\.[a-z]{{3,4}}\Z", "This must be an entry of images/.")]
    )


# ---- what is written
def manifest_record(kind: str, missing: Iterable[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "exportedAt": timestamp(now()),
        "kind": kind,
        "missing": sorted(missing),
    }


def session_record(session: Session, message_count: int) -> dict[str, Any]:
    """The session as REST gives it, since when it is what it is, and where its title came from."""
    return {
        **render_session(session),
        "messageCount": message_count,
        "titleOrigin": session.title_origin,
        "pinnedAt": timestamp(session.pinned_at),
        "archivedAt": timestamp(session.archived_at),
    }


def message_record(message: Message, *, keeps_edited_of: bool) -> dict[str, Any]:
    """The message as REST gives it, without addresses; `editedOf` only where that message is there too."""
    rendered = render_message(message, [])
    record = {name: rendered[name] for name in MESSAGE_FIELDS}
    return record if keeps_edited_of else record | {"editedOf": None}


def image_record(image: Image, session_id: str) -> dict[str, Any]:
    """`session_id` is the session of the archive to which the picture goes."""
    return {
        "id": image.id,
        "sessionId": session_id,
        "type": image.type,
        "mime": image.mime,
        "width": image.width,
        "height": image.height,
        "size": image.size,
        "sha256": image.sha256,
        "createdAt": timestamp(image.created_at),
        "filename": image_entry(image),
    }


# ---- what is written for people
def markdown_head(session: Session) -> str:
    return f"# {' '.join(session.title.split())}\n"


def markdown_of(message: Message, images: Iterable[Image]) -> str:
    pictures = "".join(f"\n![](../../{image_entry(image)})\n" for image in images)
    text = f"\n{message.text}\n" if message.text else ""
    return f"\n## {message.role}, {timestamp(message.created_at)}\n{text}{pictures}"
