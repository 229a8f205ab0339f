"""Where the records of pictures and of their bytes are stored and found."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from nanobanana.notes import Notes
from nanobanana.redisdb.claims import Claim, Gone
from nanobanana.redisdb.client import ask
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.families import Family
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Manager, Page, Window
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work

if TYPE_CHECKING:
    from media_store.models import Blob, DirectUpload, Image, Usage

NOTES = Notes("sweep")  # who has something to sweep
PROCESSING = Notes("processing")  # who has pictures that are not decoded yet
UNFINISHED = "images:processing"  # the index of those
TO_COMPRESS = Notes("compress")  # who has originals to compress
COMPRESSIBLE = "images:compressible"  # the index of these
DOOMED = "blobs:doomed"
STEP = 500  # uploads looked at at once
AGAIN = ".5"  # the fraction of a millisecond in the score of what was removed once


class BlobManager(Manager["Blob"]):
    """Bytes: planned before they are written, held by pictures, and doomed when the last one lets go."""

    async def find_stored(self, user_id: str, sha256: str) -> "Blob | None":
        """What has this content, whole."""
        index = self.model.indexes[0].name.format(sha256=sha256)
        page = await self.apage(user_id, index, Window(limit=1))
        return page.objects[0] if page.objects else None

    def hold(self, work: UnitOfWork, blob: "Blob", error: Exception) -> None:
        """Count one more picture; `error` when they are gone, or when others with this content came first.

        The first picture makes them known by their content.
        """
        work.expect_equal(blob, "is_stored", error)
        if not blob.is_stored:
            work.expect_absent(self.model.indexes[0].key(blob.owner_id, sha256=blob.sha256), error)
            self.update(work, blob, is_stored=True)
        self.add(work, blob, holders=1)

    def release(self, work: UnitOfWork, images: "Iterable[Image]", *, due: datetime) -> None:
        """These pictures let go of their bytes; what nobody holds then is doomed.

        Bytes without a record, which only a fault leaves, do not keep a picture from being removed. What the
        pictures had before, and what was to go later, goes then too.
        """
        images = list(images)
        held = Counter((image.blob_id, image.sha256) for image in images)
        for (blob_id, sha256), times in held.items():
            blob = self.model(work.owner_id, blob_id, sha256=sha256, is_stored=True)
            with work.when(blob, "is_stored", True):
                work.count(blob.key, "holders", -times, **self._counting(blob, self.model.holders))
            with work.when(blob, "holders", times):
                self._doom(work, blob, due)
        for former in filter(None, (image.former_blob_id for image in images)):
            score = str(milliseconds(due))
            work.write("rescore", owner_key(work.owner_id, DOOMED), score, former)

    def abandon(self, work: UnitOfWork, blob: "Blob", *, due: datetime) -> None:
        """Doom bytes that no picture came to hold. DoesNotExist when they are gone."""
        work.expect_exists(blob, DoesNotExist(blob.key))
        work.expect_equal(blob, "holders")
        self._doom(work, blob, due)

    def _doom(self, work: UnitOfWork, blob: "Blob", due: datetime) -> None:
        self.discard(work, blob)
        self.doom_id(work, blob.id, due)

    def doom_id(self, work: UnitOfWork, blob_id: str, due: datetime) -> None:
        """Have what lies below an id of which there is no record removed then."""
        work.write("index", owner_key(work.owner_id, DOOMED), str(milliseconds(due)), blob_id)

    def families(self) -> Iterator[Family]:
        yield from super().families()
        yield Family(DOOMED, of_member=self._gone)

    def _gone(self, owner_id: str, key: str, blob_id: str) -> Iterator[Claim]:
        yield Gone(key, blob_id, self.model.key_prefix(owner_id) + blob_id)

    async def planned_ids(self, user_id: str, *, before: datetime, limit: int) -> list[str]:
        """Those that were planned before then and that no picture holds."""
        index = str(self.model.holders.zero_index)
        return await self.ids_up_to(user_id, index, score=milliseconds(before), limit=limit)

    async def doomed(self, user_id: str, *, until: datetime, limit: int) -> list[tuple[str, bool]]:
        """[(id, whether the bytes were removed once before)] of those that are due by then."""
        window = ("WITHSCORES", "LIMIT", 0, limit)
        key = owner_key(user_id, DOOMED)
        rows = await ask("ZRANGEBYSCORE", key, "-inf", milliseconds(until), *window)
        return [
            (blob_id, score.endswith(AGAIN)) for blob_id, score in zip(rows[::2], rows[1::2], strict=True)
        ]

    async def earliest_doomed(self, user_id: str) -> datetime | None:
        return await self.earliest(user_id, DOOMED)

    async def doomed_among(self, user_id: str, blob_ids: Sequence[str]) -> list[str]:
        if not blob_ids:
            return []
        scores = await ask("ZMSCORE", owner_key(user_id, DOOMED), *blob_ids)
        return [blob_id for blob_id, score in zip(blob_ids, scores, strict=True) if score is not None]

    async def postpone_doomed(self, user_id: str, blob_ids: Sequence[str], *, until: datetime) -> None:
        """Their bytes are removed, and will be once more."""
        if blob_ids:
            score = f"{milliseconds(until)}{AGAIN}"
            entries = chain.from_iterable((score, blob_id) for blob_id in blob_ids)
            await ask("ZADD", owner_key(user_id, DOOMED), "XX", *entries)

    async def forget_doomed(self, user_id: str, blob_ids: Sequence[str]) -> None:
        """Nothing is left of them."""
        if blob_ids:
            await ask("ZREM", owner_key(user_id, DOOMED), *blob_ids)

    async def forget_all_doomed(self, user_id: str) -> None:
        await ask("UNLINK", owner_key(user_id, DOOMED))


class UsageManager(Manager["Usage"]):
    """What users have, under their ids; `ImageManager` writes it."""

    async def aget_of(self, user_id: str) -> "Usage":
        try:
            return await self.aget(user_id, user_id)
        except DoesNotExist:
            return self.model.from_hash(user_id, user_id, [])


class ImageManager(Manager["Image"]):
    """Pictures. Every commit that adds, changes or removes one counts it in its owner's `Usage`."""

    async def alist(self, user_id: str, window: Window) -> "Page[Image]":
        return await self.apage(user_id, "images", window)

    async def alist_of_session(
        self, user_id: str, session_id: str, type: str | None, window: Window
    ) -> "Page[Image]":
        """The pictures of a session, of one type or all; DoesNotExist without the session."""
        every, typed = self.model.indexes[1:3]
        required = self.session_key(user_id, session_id)
        index = (
            typed.name.format(session_id=session_id, type=type)
            if type
            else every.name.format(session_id=session_id)
        )
        return await self.apage(user_id, index, window, required=required)

    async def acount_of_session(self, user_id: str, session_id: str) -> int:
        return await self.acount(user_id, self.index_of_session(session_id))

    async def apage_of_session(self, user_id: str, session_id: str, window: Window) -> "Page[Image]":
        """The pictures of a session of any kind."""
        return await self.apage(user_id, self.index_of_session(session_id), window)

    def index_of_session(self, session_id: str) -> str:
        return self.model.indexes[1].name.format(session_id=session_id)

    def excuses(self, instance: "Image", key: str) -> Sequence[str]:
        """The list of all pictures need not have those of a session that is not shown yet."""
        is_list = key in self.model.indexes[0].entries_of(instance)
        return [owner_key(instance.owner_id, "hidden-session", instance.session_id)] if is_list else []

    def create(self, work: UnitOfWork, instance: "Image") -> None:
        super().create(work, instance)
        _count(work, images=1, bytes=instance.size)

    def update(self, work: UnitOfWork, instance: "Image", **changes: Any) -> None:
        super().update(work, instance, **changes)
        if "size" in changes:
            work.expect_equal(instance, "size")
            _count(work, bytes=changes["size"] - instance.size)

    def delete(self, work: UnitOfWork, instance: "Image") -> None:
        super().delete(work, instance)
        self._count_out(work, instance)

    def create_unlisted(self, work: UnitOfWork, image: "Image") -> None:
        """Store a new picture that does not stand in the list of all pictures before `enlist`."""
        self.create(work, image)
        for key in self.model.indexes[0].entries_of(image):
            work.write("unindex", key, image.id)

    def enlist(self, work: UnitOfWork, image: "Image") -> None:
        for key, score in self.model.indexes[0].entries_of(image).items():
            work.write("index", key, score, image.id)

    def discard_for_good(self, work: UnitOfWork, image: "Image") -> None:
        """Remove a picture that was read, of somebody who stays."""
        self.discard(work, image)
        self._count_out(work, image)

    def _count_out(self, work: UnitOfWork, image: "Image") -> None:
        work.expect_equal(image, "size")  # it is what is counted, and proves that nobody else did
        _count(work, images=-1, bytes=-image.size)

    async def unreferenced_ids(self, user_id: str, *, before: int, limit: int) -> list[str]:
        """The ids of pictures no message has shown since `before`, in milliseconds since 1970."""
        return await self.ids_up_to(user_id, str(self.model.ref_count.zero_index), score=before, limit=limit)

    async def compressible_ids(self, user_id: str, *, limit: int) -> list[str]:
        return await self.ids(user_id, COMPRESSIBLE, first=0, limit=limit)

    def session_key(self, user_id: str, session_id: str) -> str:
        """The key of a session, which lives a layer above; DoesNotExist when `session_id` cannot be an id."""
        if not is_id(session_id):
            raise DoesNotExist(f"session {session_id[:40]!r}")
        return owner_key(user_id, self.model.session_id.to, session_id)


class DirectUploadManager(Manager["DirectUpload"]):
    """Uploads under way. Redis lets them go when they expire; the next one to begin clears their index."""

    def create(self, work: UnitOfWork, instance: "DirectUpload") -> None:
        super().create(work, instance)
        # The latest to begin is the last to expire.
        for key in (instance.key, instance.indexes[0].key(instance.owner_id)):
            work.write("expire", key, self.model.life)

    def complete(self, work: UnitOfWork, upload: "DirectUpload", image_id: str) -> None:
        """Note what became of it, once; its record stays, for who asks again."""
        self.update(work, upload, image_id=image_id)

    async def standing(self, user_id: str) -> tuple[list[str], int]:
        """The ids of those that have expired, and how many are open."""
        ids, total = await asyncio.gather(
            self.ids_up_to(user_id, self.open_index, score=milliseconds(now()) - self.model.life, limit=STEP),
            self.acount(user_id, self.open_index),
        )
        return ids, total - len(ids)

    async def forget_all(self, user_id: str) -> None:
        """Remove those of a deleted account."""
        while ids := await self.ids(user_id, self.open_index, first=0, limit=STEP):
            async with unit_of_work(user_id) as work:
                self.remove_ids(work, self.open_index, ids)

    @property
    def open_index(self) -> str:
        return self.model.indexes[0].name


def usage_key(user_id: str) -> str:
    return owner_key(user_id, "usage", user_id)


def _count(work: UnitOfWork, **differences: int) -> None:
    for name, by in differences.items():
        work.count(usage_key(work.owner_id), name, by, zero_index=None, member="")
