"""Pictures. The record says what a picture is; the bytes lie in the storage."""

from media_store.managers import DirectUploadManager, ImageManager, UsageManager
from nanobanana.redisdb.fields import (
    BooleanField,
    CounterField,
    DateTimeField,
    IntegerField,
    Nullable,
    ReferenceField,
    TextField,
    now,
)
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.models import Model

UPLOADED = "uploaded"


class Image(Model):
    """A picture of a user; `ref_count` messages show it. Sizes are in pixels (upright) and bytes."""

    kind = "image"
    session_id = ReferenceField(to="session")
    type = TextField(default=UPLOADED)
    mime = TextField()
    width = IntegerField()
    height = IntegerField()
    size = IntegerField()
    thumb_size = IntegerField()
    sha256 = TextField()  # of the stored original
    # Pictures stored before there were these have none of them.
    shows_in_browsers = BooleanField(default=True)
    blurhash = Nullable(TextField())
    colour = Nullable(TextField())  # the dominant one, #rrggbb
    ref_count = CounterField(zero_index="images:unreferenced")
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)

    indexes = (
        Index("images", score="created_at"),
        Index("session:{session_id}:images", score="created_at"),
        Index("session:{session_id}:images:{type}", score="created_at"),
    )
    objects = ImageManager()


class Usage(Model):
    """What the pictures of a user come to, which every commit on them keeps right; `bytes` of originals."""

    kind = "usage"
    images = CounterField()
    bytes = CounterField()

    objects = UsageManager()


class DirectUpload(Model):
    """Bytes that are going to be put straight into the storage; the record goes by itself when it expires."""

    kind = "upload"
    session_id = ReferenceField(to="session")
    type = TextField()
    mime = TextField()
    size = IntegerField()
    sha256 = Nullable(TextField())
    expires_at = DateTimeField()
    image_id = Nullable(ReferenceField(to="image"))  # what it was completed to

    indexes = (Index("uploads", score="expires_at", unless="image_id"),)
    objects = DirectUploadManager()
