"""What uploads accept, and how a picture is answered."""

import re
from typing import Any

from rest_framework import serializers

from media_store.links import media_url
from media_store.models import UPLOADED, Image
from nanobanana.serializers import IdField, TextField, timestamp

TYPE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def validate_type(value: str) -> str:
    """A type is a short word such as `uploaded` or `generated`; it becomes part of a key."""
    if not TYPE.fullmatch(value):
        raise serializers.ValidationError({"type": "This must be a short lower-case word such as uploaded."})
    return value


class UploadSerializer(serializers.Serializer):
    sessionId = IdField()
    type = TextField(required=False, default=UPLOADED, max_length=32)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        validate_type(attrs["type"])
        return attrs


def render_image(image: Image) -> dict[str, Any]:
    """The seed's Image; the addresses are signed when read."""
    return {
        "id": image.id,
        "sessionId": image.session_id,
        "userId": image.owner_id,
        "type": image.type,
        "path": media_url(image.owner_id, image.id, "original"),
        "thumbPath": media_url(image.owner_id, image.id, "thumb"),
        "mime": image.mime,
        "width": image.width,
        "height": image.height,
        "size": image.size,
        "refCount": image.ref_count,
        "createdAt": timestamp(image.created_at),
        "updatedAt": timestamp(image.updated_at),
    }
