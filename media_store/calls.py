"""What the schema says of `/api/images` and `/media`."""

from django.conf import settings
from rest_framework import serializers

from media_store.serializers import (
    MIMES,
    TYPE,
    TYPE_HELP,
    BeginUploadSerializer,
    DirectUploadSerializer,
    FailureSerializer,
    ImageSerializer,
    UploadSerializer,
)
from media_store.streaming import RangeNotSatisfiable
from media_store.variants import ORIGINAL, VARIANTS
from nanobanana.calls import FILE_HEADERS, UNCHANGED, Answer, Call, Fields, page_query, sentence
from nanobanana.errors import (
    ByteQuotaExceeded,
    Conflict,
    Forbidden,
    ImageInUse,
    ImageQuotaExceeded,
    InfectedFile,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
    UnreadablePicture,
    UnsupportedMedia,
    UploadIncomplete,
    UploadMismatch,
)
from nanobanana.pagination import PaginationSerializer
from nanobanana.serializers import IdField

IMAGES_A_PAGE = 100
NO_ROOM = (ImageQuotaExceeded, ByteQuotaExceeded)
PICTURE = "JPEG, PNG, WebP, GIF, AVIF or HEIC, by content."


class BatchResultSerializer(serializers.Serializer):
    successful = ImageSerializer(many=True, help_text="The pictures that are stored.")
    failed = FailureSerializer(many=True, help_text="The files that are not, and why.")
    total = serializers.IntegerField(min_value=0, help_text="How many files there were.")


class CleanUpResultSerializer(serializers.Serializer):
    successful = serializers.ListField(child=IdField(), help_text="The ids of the deleted pictures.")
    failed = FailureSerializer(many=True, help_text="The pictures that stay, and why.")
    total = serializers.IntegerField(min_value=0, help_text="How many pictures there were.")


def _image() -> Fields:
    return {"image": ImageSerializer(help_text="The picture.")}


def _images() -> Fields:
    return {
        "images": ImageSerializer(many=True, help_text="The newest first."),
        "pagination": PaginationSerializer(help_text="Which part of the list it is."),
    }


def _signed() -> Fields:
    return {
        "e": serializers.CharField(help_text="When the address expires, in Unix seconds."),
        "s": serializers.CharField(help_text="The signature."),
    }


def _file() -> serializers.Field:
    return serializers.FileField(help_text=PICTURE)


BYTES = {
    200: Answer(media_types=MIMES, headers=FILE_HEADERS, description="The whole file."),
    206: Answer(
        media_types=MIMES,
        headers=(*FILE_HEADERS, "Content-Range"),
        description="The part that `Range` asks for.",
    ),
    302: Answer(headers=("Location",), description="They lie in a cloud: where to read them."),
    304: UNCHANGED,
}

IMAGES = {
    "upload": Call(
        "Upload an image",
        {**sentence(), **_image()},
        status=201,
        body=UploadSerializer,
        form={"image": _file()},
        errors=(NotFound, UnreadablePicture, InfectedFile, ServiceUnavailable, *NO_ROOM),
    ),
    "upload_batch": Call(
        "Upload several images",
        {**sentence(), "results": BatchResultSerializer(help_text="What became of each file.")},
        "A file that fails does not stop the others.",
        status=201,
        body=UploadSerializer,
        form={
            "images": serializers.ListField(
                child=_file(), min_length=1, max_length=settings.MAX_FILES_AT_ONCE, help_text=PICTURE
            )
        },
        errors=(NotFound,),
    ),
    "retrieve": Call("Read an image", _image()),
    "content": Call(
        "Read the content of an image",
        details="The same bytes as behind the signed addresses, for clients that send their token anyway.",
        query={
            "variant": serializers.ChoiceField(
                choices=VARIANTS,
                default=ORIGINAL,
                help_text="`original`, `display` (what browsers show) or a size. Of sizes beyond the "
                "picture's own, the smallest is answered.",
            )
        },
        errors=(RangeNotSatisfiable, ServiceUnavailable, UnreadablePicture),
        other_answers=BYTES,
    ),
    "destroy": Call("Delete an image", sentence(), errors=(ImageInUse,)),
    "list": Call("List all images", _images(), query=page_query(IMAGES_A_PAGE)),
    "list_of_session": Call(
        "List the images of a session",
        _images(),
        query={
            **page_query(IMAGES_A_PAGE),
            "type": serializers.CharField(required=False, validators=[TYPE], help_text=TYPE_HELP),
        },
    ),
    "clean_up": Call(
        "Delete unused images",
        {**sentence(), "results": CleanUpResultSerializer(help_text="What became of each picture.")},
        "Those that no message has shown for CLEANUP_GRACE; a bounded number at a time.",
    ),
}

UPLOADS = {
    "begin": Call(
        "Begin a direct upload",
        {**sentence(), "upload": DirectUploadSerializer(help_text="Where to put the bytes.")},
        "The bytes go straight to where pictures lie; there is no picture before the upload is completed.",
        status=201,
        body=BeginUploadSerializer,
        errors=(NotFound, PayloadTooLarge, *NO_ROOM),
    ),
    "complete": Call(
        "Complete a direct upload",
        {**sentence(), **_image()},
        "What was put is inspected as if it had been uploaded here. A second time, it is the same picture.",
        status=201,
        errors=(
            PayloadTooLarge,
            UnsupportedMedia,
            UnreadablePicture,
            InfectedFile,
            ServiceUnavailable,
            UploadIncomplete,
            UploadMismatch,
            *NO_ROOM,
        ),
    ),
}

INCOMING = {
    "receive": Call(
        "Put the bytes of a direct upload",
        sentence(),
        "Whoever has the signed address may put them, without a token, until it expires or is completed.",
        content=MIMES,
        query=_signed(),
        errors=(Forbidden, Conflict, ServiceUnavailable, UploadMismatch),
    ),
}

MEDIA = {
    "retrieve": Call(
        "Read the bytes of an image",
        details="Whoever has the signed address may read, without a token, until it expires.",
        path={
            "variant": serializers.ChoiceField(
                choices=VARIANTS, help_text="The original, what browsers show, or a size."
            )
        },
        query=_signed(),
        errors=(Forbidden, RangeNotSatisfiable, ServiceUnavailable, UnreadablePicture),
        other_answers=BYTES,
    ),
}
