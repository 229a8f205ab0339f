"""Pictures. The record says what a picture is; the bytes lie in the storage."""

from media_store.managers import ImageManager, UsageManager
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
from nanobanana.redisdb.tallies import References, Total

UPLOADED = "uploaded"
PROCESSING, READY, FAILED = "processing", "ready", "failed"
STATUSES = (PROCESSING, READY, FAILED)


class Image(Model):
    """A picture of a user; `ref_count` messages show it. Sizes are in pixels (upright) and bytes."""

    kind = "image"
    session_id = ReferenceField(to="session", may_dangle=True)  # others can show what outlives it
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
    # Of large ones, see processing.py: both None for one that is ready.
    processing_since = Nullable(DateTimeField())
    failure = Nullable(TextField())  # a sentence for people
    ref_count = CounterField(zero_index="images:unreferenced", counts=References("message", "image_ids"))
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)

    indexes = (
        Index("images", score="created_at"),
        Index("session:{session_id}:images", score="created_at"),
        Index("session:{session_id}:images:{type}", score="created_at"),
        Index(UNFINISHED, score="processing_since", where="processing_since"),
    )
    objects = ImageManager()

    @property
    def status(self) -> str:
        if self.failure:
            return FAILED
        return PROCESSING if self.processing_since else READY


class Usage(Model):
    """What the pictures of a user come to, which every commit on them keeps right; `bytes` of originals."""

    kind = "usage"
    images = CounterField(counts=Total("image"))
    bytes = CounterField(counts=Total("image", "size"))

    objects = UsageManager()
