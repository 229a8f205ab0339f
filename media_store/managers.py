"""Where the records of pictures are stored and found."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nanobanana.redisdb.client import ask
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Manager, Page, Window
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work

if TYPE_CHECKING:
    from media_store.models import DirectUpload, Image, Usage

REMOVED = "images:removed"
STEP = 500  # uploads looked at at once


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
        every, typed = self.model.indexes[1:]
        required = self.session_key(user_id, session_id)
        index = (
            typed.name.format(session_id=session_id, type=type)
            if type
            else every.name.format(session_id=session_id)
        )
        return await self.apage(user_id, index, window, required=required)

    async def acount_of_session(self, user_id: str, session_id: str) -> int:
        return await self.acount(user_id, self.model.indexes[1].name.format(session_id=session_id))

    async def apage_of_session(self, user_id: str, session_id: str, window: Window) -> "Page[Image]":
        """The pictures of a session of any kind."""
        return await self.apage(user_id, self.model.indexes[1].name.format(session_id=session_id), window)

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
        """Remove a picture that was read, and note that its files are to follow; see `removed_ids`."""
        self.discard(work, image)
        self._count_out(work, image)
        work.write("index", owner_key(image.owner_id, REMOVED), str(milliseconds(now())), image.id)

    def _count_out(self, work: UnitOfWork, image: "Image") -> None:
        work.expect_equal(image, "size")  # it is what is counted, and proves that nobody else did
        _count(work, images=-1, bytes=-image.size)

    async def removed_ids(self, user_id: str, *, limit: int) -> list[str]:
        """Pictures that are gone, and whose files are to be removed."""
        return await self.ids(user_id, REMOVED, first=0, limit=limit)

    async def forget_removed(self, user_id: str, image_ids: Sequence[str]) -> None:
        """Their files are removed too."""
        await ask("ZREM", owner_key(user_id, REMOVED), *image_ids)

    async def unreferenced_ids(self, user_id: str, *, before: int, limit: int) -> list[str]:
        """The ids of pictures no message has shown since `before`, in milliseconds since 1970."""
        return await self.ids_up_to(user_id, str(self.model.ref_count.zero_index), score=before, limit=limit)

    def session_key(self, user_id: str, session_id: str) -> str:
        """The key of a session, which lives a layer above; DoesNotExist when `session_id` cannot be an id."""
        if not is_id(session_id):
            raise DoesNotExist(f"session {session_id[:40]!r}")
        return owner_key(user_id, self.model.session_id.to, session_id)


class DirectUploadManager(Manager["DirectUpload"]):
    """Uploads under way. Redis lets them go when they expire; the next one to begin clears their index."""

    def create(self, work: UnitOfWork, instance: "DirectUpload") -> None:
        super().create(work, instance)
        life = milliseconds(instance.expires_at) - milliseconds(now())
        # The latest to begin is the last to expire.
        for key in (instance.key, instance.indexes[0].key(instance.owner_id)):
            work.write("expire", key, life)

    def complete(self, work: UnitOfWork, upload: "DirectUpload", image_id: str) -> None:
        """Note what became of it, once; its record stays, for who asks again."""
        self.update(work, upload, image_id=image_id)

    async def standing(self, user_id: str) -> tuple[list[str], int]:
        """The ids of those that have expired, and how many are open."""
        ids, total = await asyncio.gather(
            self.ids_up_to(user_id, self.index, score=milliseconds(now()), limit=STEP),
            self.acount(user_id, self.index),
        )
        return ids, total - len(ids)

    async def forget_all(self, user_id: str) -> None:
        """Remove those of a deleted account."""
        while ids := await self.ids(user_id, self.index, first=0, limit=STEP):
            async with unit_of_work(user_id) as work:
                self.remove_ids(work, self.index, ids)

    @property
    def index(self) -> str:
        return self.model.indexes[0].name


def usage_key(user_id: str) -> str:
    return owner_key(user_id, "usage", user_id)


def _count(work: UnitOfWork, **differences: int) -> None:
    for name, by in differences.items():
        work.count(usage_key(work.owner_id), name, by, zero_index=None, member="")
