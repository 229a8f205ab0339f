"""What chats accept, and how sessions and messages are answered."""

import re
from collections.abc import Iterable
from typing import Any

import orjson
from django.conf import settings
from rest_framework import serializers

from chats.managers import Revision
from chats.models import Message, Session
from chats.search.query import LONGEST_QUERY
from chats.services.messages import IMAGES_OF_A_MESSAGE
from chats.services.search import MESSAGE, SESSION, Found, Hit, Search
from chats.services.usage import Account
from chats.titles import COPY_MARK, LONGEST_TITLE
from media_store.models import Image
from media_store.serializers import ImageSerializer, render_image
from nanobanana.pagination import PaginationSerializer
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.ids import time_of
from nanobanana.redisdb.managers import Related, from_related
from nanobanana.serializers import (
    PRINTABLE,
    IdField,
    IdListField,
    MomentField,
    SwitchField,
    TextField,
    timestamp,
)

LONGEST_TEXT = 32_000
ROLES = ("user", "assistant", "model", "system")
LONGEST_TAG = 50
TAGS_OF_A_SESSION = 20
LARGEST_PARAMS = 16 * 1024  # bytes as JSON
DEEPEST_PARAMS = 16
LARGEST_REVISION = 2**53 - 1
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

# What fields mean, for the schema.
TITLE = "White space around it is cut off."
COPY_TITLE = f"{TITLE} Without one it is the title of the original and “{COPY_MARK.strip()}”."
PINNED = "Whether it comes before all that are not."
ARCHIVED = "Whether it is out of the usual list."
TAGS = "What it is found by, in order."
ROLE = "Who speaks."
TEXT = "What is said; a message is written with a text or an image."
PARAMS = f"Any JSON object of at most {LARGEST_PARAMS} bytes, {DEEPEST_PARAMS} deep."
IMAGE_IDS = "The pictures it shows, in order."
EDITED_OF = "The message of the session it is a new version of, or in another role an answer to."
REVISION = "How often the message was changed."


class ParamsField(serializers.DictField):
    """A JSON object of any content, bounded in size and depth; null is an empty one."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return {} if data is None else super().run_validation(data)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("This must be a JSON object.")
        if depth_exceeds(data, DEEPEST_PARAMS):
            raise serializers.ValidationError(f"This may be nested {DEEPEST_PARAMS} deep at most.")
        try:
            encoded = orjson.dumps(data)
        except TypeError as error:
            raise serializers.ValidationError("This must be JSON.") from error
        if len(encoded) > LARGEST_PARAMS:
            raise serializers.ValidationError(f"This may have {LARGEST_PARAMS} bytes at most.")
        if NUL.search(encoded):
            raise serializers.ValidationError("Null characters are not allowed.")
        return data


class CreateSessionSerializer(serializers.Serializer):
    title = TextField(
        required=False, allow_blank=True, max_length=LONGEST_TITLE, trim_whitespace=True, help_text=TITLE
    )


class TagField(TextField):
    """A word or a few, to find sessions by."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=LONGEST_TAG, trim_whitespace=True, **options)
        self.validators.append(PRINTABLE)


class TagListField(serializers.ListField):
    """Tags in order, each once."""

    child = TagField()

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class UpdateSessionSerializer(serializers.Serializer):
    title = TextField(required=False, max_length=LONGEST_TITLE, trim_whitespace=True, help_text=TITLE)
    pinned = SwitchField(required=False, help_text=PINNED)
    archived = SwitchField(required=False, help_text=ARCHIVED)
    tags = TagListField(required=False, max_length=TAGS_OF_A_SESSION, help_text=TAGS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError({"title": "Give a title, or pinned, archived or tags."})
        return attrs


class SessionFilterSerializer(serializers.Serializer):
    archived = serializers.ChoiceField(
        choices=("true", "false"), default="false", help_text="Whether to list the archived ones instead."
    )
    tag = TagField(required=False, default="", allow_blank=True, help_text="Only those that have it.")
    q = TextField(
        required=False,
        default="",
        allow_blank=True,
        max_length=LONGEST_QUERY,
        help_text="Words of the title.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """As the service takes them."""
        return {"archived": attrs["archived"] == "true", "tag": attrs["tag"], "title": attrs["q"]}


class DeleteSessionSerializer(serializers.Serializer):
    permanent = serializers.ChoiceField(
        choices=("true", "false"), default="false", help_text="Whether it is gone for good."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {"permanent": attrs["permanent"] == "true"}


class DuplicateSessionSerializer(serializers.Serializer):
    title = TextField(required=False, max_length=LONGEST_TITLE, trim_whitespace=True, help_text=COPY_TITLE)


class CreateMessageSerializer(serializers.Serializer):
    role = serializers.ChoiceField(choices=ROLES, help_text=ROLE)
    text = TextField(required=False, allow_blank=True, max_length=LONGEST_TEXT, help_text=TEXT)
    params = ParamsField(required=False, allow_null=True, help_text=PARAMS)
    imageIds = IdListField(required=False, max_length=IMAGES_OF_A_MESSAGE, help_text=IMAGE_IDS)
    editedOf = IdField(required=False, allow_null=True, help_text=EDITED_OF)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("text") and not attrs.get("imageIds"):
            raise serializers.ValidationError({"text": "A message needs a text or an image."})
        return attrs


class UpdateMessageSerializer(serializers.Serializer):
    text = TextField(required=False, allow_blank=True, max_length=LONGEST_TEXT, help_text=TEXT)
    params = ParamsField(required=False, allow_null=True, help_text=PARAMS)
    imageIds = IdListField(required=False, max_length=IMAGES_OF_A_MESSAGE, help_text=IMAGE_IDS)


class AttachImageSerializer(serializers.Serializer):
    imageId = IdField(help_text="A picture of the same user.")


class RestoreRevisionSerializer(serializers.Serializer):
    revision = serializers.IntegerField(
        min_value=0, max_value=LARGEST_REVISION, help_text="Which one to bring back."
    )


class SessionSerializer(serializers.Serializer):
    id = IdField(help_text="The session's id.")
    userId = IdField(help_text="Its owner.")
    title = serializers.CharField(help_text="As given, or the first words of the first message.")
    createdAt = MomentField(help_text="When it was opened.")
    updatedAt = MomentField(help_text="The latest activity in it.")
    messageCount = serializers.IntegerField(min_value=0, help_text="How many messages it has.")
    deletedAt = MomentField(allow_null=True, help_text="When it went to the trash.")
    pinned = serializers.BooleanField(help_text=PINNED)
    archived = serializers.BooleanField(help_text=ARCHIVED)
    tags = TagListField(help_text=TAGS)


class MessageSerializer(serializers.Serializer):
    id = IdField(help_text="The message's id.")
    sessionId = IdField(help_text="The session it is in.")
    role = serializers.ChoiceField(choices=ROLES, help_text=ROLE)
    text = serializers.CharField(allow_blank=True, help_text=TEXT)
    params = ParamsField(help_text=PARAMS)
    imageIds = IdListField(help_text=IMAGE_IDS)
    createdAt = MomentField(help_text="When it was written.")
    updatedAt = MomentField(help_text="When it was last changed.")
    editedOf = IdField(allow_null=True, help_text=EDITED_OF)
    revision = serializers.IntegerField(min_value=0, help_text=REVISION)
    images = ImageSerializer(many=True, help_text="The pictures of `imageIds`.")


class RevisionSerializer(serializers.Serializer):
    revision = serializers.IntegerField(min_value=0, help_text="Its number.")
    text = serializers.CharField(allow_blank=True, help_text=TEXT)
    params = ParamsField(help_text=PARAMS)
    imageIds = IdListField(help_text="The pictures it showed, some of which may be gone.")
    updatedAt = MomentField(help_text="When the message came to be like this.")


class StatsSerializer(serializers.Serializer):
    messageCount = serializers.IntegerField(min_value=0, help_text="How many messages the session has.")
    totalMessages = serializers.IntegerField(min_value=0, help_text="The same.")
    imageCount = serializers.IntegerField(min_value=0, help_text="How many pictures the session has.")
    createdAt = MomentField(help_text="When the session was opened.")
    updatedAt = MomentField(help_text="The latest activity in it.")


class LimitsSerializer(serializers.Serializer):
    images = serializers.IntegerField(
        allow_null=True, min_value=1, help_text="Pictures; null without a limit."
    )
    bytes = serializers.IntegerField(allow_null=True, min_value=1, help_text="Of pictures; null likewise.")


class UsageSerializer(serializers.Serializer):
    images = serializers.IntegerField(min_value=0, help_text="How many pictures there are.")
    bytes = serializers.IntegerField(min_value=0, help_text="The sum of their `size`.")
    sessions = serializers.IntegerField(min_value=0, help_text="With those archived.")
    trashedSessions = serializers.IntegerField(min_value=0, help_text="How many can be restored.")
    messages = serializers.IntegerField(min_value=0, help_text="Of all sessions, with those in the trash.")
    limits = LimitsSerializer(help_text="How much there may be.")


class SearchResultSerializer(serializers.Serializer):
    type = serializers.ChoiceField(choices=(MESSAGE, SESSION), help_text="What was found.")
    session = SessionSerializer(help_text="The session, or that of the message.")
    message = MessageSerializer(allow_null=True, help_text="With its pictures; null for a session.")
    highlights = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(min_value=0), min_length=2, max_length=2),
        help_text="Parts of the text or title: [start, end) in UTF-16 units, as `slice` takes.",
    )


class SearchPaginationSerializer(PaginationSerializer):
    total = serializers.IntegerField(
        min_value=0, allow_null=True, help_text="How many there are, once that is known; else null."
    )


MODEL_NAMES = {"imageIds": "image_ids", "editedOf": "edited_of"}


def model_fields(validated: dict[str, Any]) -> dict[str, Any]:
    """Names of the wire as names of the model."""
    return {MODEL_NAMES.get(name, name): value for name, value in validated.items()}


def depth_exceeds(value: Any, most: int) -> bool:
    """Whether the object or list `value` holds others, nested deeper than `most`; an empty one counts too."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def render_session(session: Session) -> dict[str, Any]:
    """The seed's Session, with what it is found by."""
    return {
        "id": session.id,
        "userId": session.owner_id,
        "title": session.title,
        "createdAt": timestamp(session.created_at),
        "updatedAt": timestamp(session.updated_at),
        "messageCount": session.message_count,
        "deletedAt": timestamp(session.deleted_at),
        "pinned": session.pinned_at is not None,
        "archived": session.archived_at is not None,
        "tags": session.tags,
    }


def render_usage(account: Account) -> dict[str, Any]:
    return {
        "images": account.pictures.images,
        "bytes": account.pictures.bytes,
        "sessions": account.sessions,
        "trashedSessions": account.trashed_sessions,
        "messages": account.messages,
        "limits": {"images": settings.QUOTA_IMAGES or None, "bytes": settings.QUOTA_BYTES or None},
    }


def render_message(message: Message, images: list[Image]) -> dict[str, Any]:
    """The seed's Message, with its images."""
    return {
        "id": message.id,
        "sessionId": message.session_id,
        "role": message.role,
        "text": message.text,
        "params": message.params,
        "imageIds": message.image_ids,
        "createdAt": timestamp(message.created_at),
        "updatedAt": timestamp(message.updated_at),
        "editedOf": message.edited_of,
        "revision": message.revision,
        "images": [render_image(image) for image in images],
    }


def render_messages(messages: Iterable[Message], related: Related) -> list[dict[str, Any]]:
    """Messages of a page, with their images from among the related objects."""
    return [
        render_message(message, from_related(Image, message.owner_id, message.image_ids, related))
        for message in messages
    ]


def render_revision(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.revision,
        "text": revision.text,
        "params": revision.params,
        "imageIds": revision.image_ids,
        "updatedAt": timestamp(revision.updated_at),
    }


def render_hit(hit: Hit) -> dict[str, Any]:
    return {
        "type": MESSAGE if hit.message else SESSION,
        "session": render_session(hit.session),
        "message": render_message(hit.message, hit.images) if hit.message else None,
        "highlights": hit.highlights(),
    }


def render_found(found: Found, search: Search) -> dict[str, Any]:
    """A page of a search."""
    pagination = {
        "limit": search.limit,
        "offset": 0,
        "total": found.total,
        "hasMore": found.behind is not None,
        "nextCursor": found.behind and _cursor(*found.behind),
    }
    return {"results": [render_hit(hit) for hit in found.hits], "pagination": pagination}


def _cursor(relevance: int | None, identifier: str) -> str:
    """What the results are sorted by, and the id: as the cursors of all lists."""
    return f"{milliseconds(time_of(identifier)) if relevance is None else relevance}:{identifier}"
