"""What uploads accept, and how a picture is answered."""

from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

from media_store.links import media_url
from media_store.models import STATUSES, UPLOADED, Image
from media_store.pictures import KINDS
from media_store.services.direct_uploads import Begun
from media_store.variants import DISPLAY, ORIGINAL, THUMB, sizes_of
from nanobanana.serializers import IdField, MomentField, TextField, timestamp

TYPE = RegexValidator(r"^[a-z][a-z0-9_-]{0,31}\Z", "This must be a short lower-case word such as uploaded.")
COLOUR = RegexValidator(r"^#[0-9a-f]{6}\Z", "This must be a colour such as #ffcc00.")
MIMES = tuple(kind.mime for kind in KINDS)
TYPE_HELP = "A short lower-case word such as `uploaded` or `generated`."


def validate_type(value: str) -> str:
    """A type is a short word such as `uploaded` or `generated`; it becomes part of a key."""
    if not TYPE.regex.search(value):
        raise serializers.ValidationError({"type": TYPE.message})
    return value


class UploadSerializer(serializers.Serializer):
    sessionId = IdField(help_text="The session it belongs to.")
    type = TextField(required=False, default=UPLOADED, max_length=32, validators=[TYPE], help_text=TYPE_HELP)


class BeginUploadSerializer(UploadSerializer):
    mime = serializers.ChoiceField(choices=MIMES, help_text="What the picture is.")
    size = serializers.IntegerField(min_value=1, help_text="In bytes, exactly.")
    sha256 = serializers.RegexField(
        r"^[0-9a-f]{64}\Z", required=False, help_text="The hash of its bytes, hexadecimal."
    )


class DirectUploadSerializer(serializers.Serializer):
    id = IdField(help_text="What to complete it by.")
    method = serializers.ChoiceField(choices=("PUT",), help_text="How the bytes are sent.")
    url = serializers.URLField(help_text="Where to; signed, for this one purpose, without a token.")
    headers = serializers.DictField(
        child=serializers.CharField(), help_text="What has to go with them, as it is."
    )
    expiresAt = MomentField(help_text="When the address ends.")


class ImageSerializer(serializers.Serializer):
    id = IdField(help_text="The picture's id.")
    sessionId = IdField(help_text="The session it belongs to.")
    userId = IdField(help_text="Its owner.")
    type = serializers.CharField(validators=[TYPE], help_text=TYPE_HELP)
    path = serializers.URLField(help_text="A signed address of the picture, which expires.")
    status = serializers.ChoiceField(
        choices=STATUSES,
        help_text="A large picture is `processing` at first, with good addresses; `image_updated` tells when "
        "it is one of the others.",
    )
    reason = serializers.CharField(allow_null=True, help_text="Why it `failed`, for people.")
    thumbPath = serializers.URLField(help_text="A signed address of its thumbnail, which expires.")
    displayPath = serializers.URLField(
        help_text="What an `<img>` shows: `path`, or a WebP where browsers do not show the original."
    )
    variants = serializers.DictField(
        child=serializers.URLField(),
        help_text="Signed addresses of upright WebP files, up to the picture's own size. Their longest side "
        "has 320 (`thumb`), 640 (`small`), 1280 (`medium`) and 2048 (`large`) pixels at most.",
    )
    blurhash = serializers.CharField(
        allow_null=True, help_text="A placeholder, as BlurHash; null for old pictures, and unless `ready`."
    )
    dominantColor = serializers.CharField(
        allow_null=True,
        validators=[COLOUR],
        help_text="As `#rrggbb`; null as `blurhash` is.",
    )
    sha256 = serializers.CharField(
        min_length=64, max_length=64, help_text="The hash of the bytes behind `path`, hexadecimal."
    )
    mime = serializers.ChoiceField(choices=MIMES, help_text="What the picture is.")
    width = serializers.IntegerField(min_value=1, help_text="In pixels.")
    height = serializers.IntegerField(min_value=1, help_text="In pixels.")
    size = serializers.IntegerField(min_value=1, help_text="In bytes.")
    refCount = serializers.IntegerField(min_value=0, help_text="How many messages show it.")
    createdAt = MomentField(help_text="When it was uploaded.")
    updatedAt = MomentField(help_text="When what is known of it last changed.")


class FailureSerializer(serializers.Serializer):
    filename = serializers.CharField(help_text="The name of the file, or the id of the picture.")
    error = serializers.CharField(help_text="A code of docs/errors.md.")
    message = serializers.CharField(help_text="A sentence for people.")


def render_begun(begun: Begun) -> dict[str, Any]:
    return {
        "id": begun.upload.id,
        "method": "PUT",
        "url": begun.address.url,
        "headers": dict(begun.address.headers),
        "expiresAt": timestamp(begun.expires_at),
    }


def render_image(image: Image) -> dict[str, Any]:
    """The seed's Image; the addresses are signed when read."""
    owner_id, image_id = image.owner_id, image.id
    sizes = {name: media_url(owner_id, image_id, name) for name in sizes_of(image.width, image.height)}
    path = media_url(owner_id, image_id, ORIGINAL)
    return {
        "id": image_id,
        "sessionId": image.session_id,
        "userId": owner_id,
        "type": image.type,
        "path": path,
        "status": image.status,
        "reason": image.failure,
        "thumbPath": sizes[THUMB],
        "displayPath": path if image.shows_in_browsers else media_url(owner_id, image_id, DISPLAY),
        "variants": sizes,
        "blurhash": image.blurhash,
        "dominantColor": image.colour,
        "sha256": image.sha256,
        "mime": image.mime,
        "width": image.width,
        "height": image.height,
        "size": image.size,
        "refCount": image.ref_count,
        "createdAt": timestamp(image.created_at),
        "updatedAt": timestamp(image.updated_at),
    }
