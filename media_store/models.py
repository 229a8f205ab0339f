"""Pictures, and their bytes. Records say what they are; the bytes themselves lie in the storage."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Self

from media_store.managers import (
    COMPRESSIBLE,
    UNFINISHED,
    BlobManager,
    DirectUploadManager,
    ImageManager,
    UsageManager,
)
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
from nanobanana.redisdb.ids import MILLISECOND
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.tallies import References, Total

UPLOADED = "uploaded"
PROCESSING, READY, FAILED = "processing", "ready", "failed"
STATUSES = (PROCESSING, READY, FAILED)


class Blob(Model):
    """What the storage has below `<userId>/<blobId>/`: an original and its variants, of `holders` pictures.

    `media_store/services/blobs.py` says how it comes and goes. Sizes are in bytes.
    """

    kind = "blob"
    sha256 = TextField()  # of the original
    size = IntegerField()
    thumb_size = IntegerField()
    is_stored = BooleanField(default=False)
    holders = CounterField(zero_index="blobs:planned", counts=References("image", "blob_id"))
    created_at = DateTimeField(default=now)

    indexes = (Index("content:{sha256}", score="created_at", where="is_stored"),)
    objects = BlobManager()

    def flaws(self) -> Iterator[str]:
        if self.is_stored != (self.holders > 0):
            yield f"{self!r} is {'stored' if self.is_stored else 'planned'} and has {self.holders} holders."


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
    blob_id = ReferenceField(to="blob")
    former_blob_id = Nullable(ReferenceField(to="blob", may_dangle=True))  # what it had until it was replaced
    # Pictures stored before there were these have none of them.
    shows_in_browsers = BooleanField(default=True)
    blurhash = Nullable(TextField())
    colour = Nullable(TextField())  # the dominant one, #rrggbb
    compressible = BooleanField(default=False)  # see services/compression.py
    is_processing = BooleanField(default=False)  # see services/processing.py
    failure = Nullable(TextField())  # what came of it when it is of no use, for people
    ref_count = CounterField(zero_index="images:unreferenced", counts=References("message", "image_ids"))
    created_at = DateTimeField(default=now)
    updated_at = DateTimeField(default=now)

    indexes = (
        Index("images", score="created_at"),
        Index("session:{session_id}:images", score="created_at"),
        Index("session:{session_id}:images:{type}", score="created_at"),
        Index(UNFINISHED, score="created_at", where="is_processing"),
        Index(COMPRESSIBLE, score="created_at", where="compressible"),
    )
    objects = ImageManager()

    @property
    def status(self) -> str:
        if self.failure:
            return FAILED
        return PROCESSING if self.is_processing else READY

    def load(self, pairs: Sequence[str]) -> Self:
        # Stored before there were blobs: the bytes lie below its own id.
        return super().load(pairs if "blob_id" in pairs[::2] else [*pairs, "blob_id", self.id])


class Usage(Model):
    """What the pictures of a user come to, which every commit on them keeps right; `bytes` of originals."""

    kind = "usage"
    images = CounterField(counts=Total("image"))
    bytes = CounterField(counts=Total("image", "size"))

    objects = UsageManager()


class DirectUpload(Model):
    """Bytes that are going to be put straight into the storage; the record goes by itself when it expires."""

    kind = "upload"
    life = 3_600_000
    session_id = ReferenceField(to="session", may_dangle=True)
    type = TextField()
    mime = TextField()
    size = IntegerField()
    sha256 = Nullable(TextField())
    created_at = DateTimeField(default=now)
    image_id = Nullable(ReferenceField(to="image", may_dangle=True))  # what it was completed to

    indexes = (Index("uploads", score="created_at", unless="image_id"),)
    objects = DirectUploadManager()

    @property
    def expires_at(self) -> datetime:
        return self.created_at + self.life * MILLISECOND
