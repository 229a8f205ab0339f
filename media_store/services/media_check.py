"""Whether records and the storage agree, both ways. The server may run: what changes meanwhile is no fault.

It lists the whole storage, which the sweep never does. Only what nobody misses is removed: a picture whose
bytes are lost keeps its record, for it may be this storage that is the wrong one.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO

from accounts.models import User
from accounts.services.access import changes_of
from media_store import decoding
from media_store.models import Blob, Image
from media_store.services.blobs import plans_end, storage_key
from media_store.storage import ObjectNotFound, StorageUnavailable, get_storage
from media_store.storage.cloud import hash_of
from media_store.storage.parallel import for_each
from media_store.variants import ORIGINAL, THUMB, VARIANTS
from nanobanana.errors import UnreadablePicture, UnsupportedMedia
from nanobanana.progress import Advance
from nanobanana.redisdb.checking import Findings
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.ids import is_id

AT_ONCE = 8  # pictures, or groups of keys
KEYS_AT_ONCE = 500


class Suspicious(Exception):
    """So much has no record that the database is likelier to be the wrong one."""


@dataclass
class MediaCheck:
    """With `verify`, originals are read and hashed. With `repair`, what can be mended is mended.

    Objects without a picture are removed; with `force`, even when they are most of the storage.
    """

    repair: bool = False
    verify: bool = False
    force: bool = False
    findings: Findings = field(default_factory=Findings)
    pictures: int = 0
    objects: int = 0
    strays: list[str] = field(default_factory=list)  # keys that are of no picture
    foreign: int = 0  # objects under keys that are none of ours, which are let be

    async def run(self, advance: Advance) -> None:
        """Raises Suspicious, StorageUnavailable."""

        async def check(image: Image) -> None:
            await self._check_picture(image)
            advance(1)

        await self._check_strays(advance)  # before anything is mended, for it may be the wrong database
        await for_each(Image.objects.aiterate(), check, at_once=AT_ONCE)
        await self._check_unfinished()

    # ---- from records to objects
    async def _check_picture(self, image: Image) -> None:
        self.pictures += 1
        sentence = await self._fault_of_original(image)
        if sentence and await self._is_still(image):
            self.findings.found(sentence, is_mended=False)
        elif not sentence:
            await self._check_blob(image)
            await self._check_thumbnail(image)

    async def _check_blob(self, image: Image) -> None:
        """Pictures stored before there were blobs have none."""
        if image.blob_id != image.id or (await Blob.objects.aget_many(image.owner_id, [image.id])).objects:
            return
        is_mended = self.repair and await give_blob(image)
        self.findings.found(f"{image!r} has no blob of its own yet.", is_mended=is_mended)

    async def _fault_of_original(self, image: Image) -> str | None:
        key = storage_key(image, ORIGINAL)
        size = await size_of(key)
        if size is None:
            return f"{image!r} has lost its original ({key})."
        if size != image.size:
            return f"{image!r} has {size} bytes of its original instead of {image.size} ({key})."
        if self.verify and await hash_of_bytes(key) not in {image.sha256, None}:
            return f"{image!r} has other bytes in its original than were stored ({key})."
        return None

    async def _check_thumbnail(self, image: Image) -> None:
        if not image.thumb_size:
            return  # it is being made
        size = await size_of(storage_key(image, THUMB))
        if size == image.thumb_size or not await self._is_still(image):
            return
        is_mended = self.repair and await make_thumbnail_anew(image)
        sentence = f"{image!r} has {size} bytes of its thumbnail instead of {image.thumb_size}."
        self.findings.found(sentence, is_mended=is_mended)

    async def _is_still(self, image: Image) -> bool:
        """Whether the picture is there, with the same bytes; a fault of what has changed is none."""
        try:
            found = await Image.objects.aget(image.owner_id, image.id)
        except DoesNotExist:
            return False
        return (found.blob_id, found.thumb_size) == (image.blob_id, image.thumb_size)

    # ---- from objects to records
    async def _check_unfinished(self) -> None:
        """Drafts of files, and uploads in parts, which nobody will finish."""
        try:
            number = await get_storage().unfinished(before=plans_end(), remove=self.repair)
        except StorageUnavailable as error:  # the access key may not be allowed to ask
            self.findings.unsettled.append(f"Unfinished writes: {error.explanation}")
            return
        if number:
            self.findings.found(f"{number} writes were begun and not finished.", is_mended=self.repair)

    async def _check_strays(self, advance: Advance) -> None:
        self.strays = [key async for key in self._stray_keys(advance)]
        if self.repair:
            await self._remove_strays()
        for key in self.strays:
            self.findings.found(f"{key} is of no picture.", is_mended=self.repair)

    async def _stray_keys(self, advance: Advance) -> AsyncIterator[str]:
        keys: list[str] = []
        async for key in get_storage().list():
            keys.append(key)
            if len(keys) == KEYS_AT_ONCE:
                for stray in await self._strays_among(keys):
                    yield stray
                advance(len(keys))
                keys.clear()
        for stray in await self._strays_among(keys):
            yield stray

    async def _strays_among(self, keys: list[str]) -> list[str]:
        """Those that were listed before, are of no blob now, and are still there."""
        self.objects += len(keys)
        blobs: dict[tuple[str, str], list[str]] = {}
        for key in keys:
            user_id, _, rest = key.partition("/")
            blob_id, _, variant = rest.partition("/")
            if is_id(user_id) and is_id(blob_id) and variant and "/" not in variant:
                blobs.setdefault((user_id, blob_id), []).append(key)
            else:
                self.foreign += 1
        strays = []
        for (user_id, blob_id), some in blobs.items():
            if not await is_known(user_id, blob_id):
                strays += [key for key in some if await size_of(key) is not None]
            elif not await Blob.objects.doomed_among(user_id, [blob_id]):
                strays += [key for key in some if key.rpartition("/")[2] not in VARIANTS]
        return strays

    async def _remove_strays(self) -> None:
        if len(self.strays) > self.objects / 2 and not self.force:
            raise Suspicious
        for key in self.strays:
            await get_storage().delete(key)


async def is_known(user_id: str, blob_id: str) -> bool:
    """Whether there is such a blob, or one about to go, or a picture from before there were blobs."""
    if (await Blob.objects.aget_many(user_id, [blob_id])).objects:
        return True
    if await Blob.objects.doomed_among(user_id, [blob_id]):
        return True
    return bool((await Image.objects.aget_many(user_id, [blob_id])).objects)


async def give_blob(image: Image) -> bool:
    """Whether the bytes below a picture's own id have a record now."""
    blob = Blob(
        image.owner_id,
        image.id,
        sha256=image.sha256,
        size=image.size,
        thumb_size=image.thumb_size,
        is_stored=True,
        holders=1,
    )
    with suppress(CommitRefused):
        async with changes_of(User(image.owner_id, image.owner_id)) as work:
            work.expect_equal(image, "sha256")
            Blob.objects.create(work, blob)
            Image.objects.update(work, image, blob_id=image.id)
        return True
    return False


async def hash_of_bytes(key: str) -> str | None:
    """Of what is read, not of what was noted beside it; None when it has gone meanwhile."""
    try:
        return await hash_of(get_storage().open(key))
    except ObjectNotFound:
        return None


async def make_thumbnail_anew(image: Image) -> bool:
    """Whether the thumbnail could be made from the original."""
    try:
        chunks = get_storage().open(storage_key(image, ORIGINAL))
        original = b"".join([chunk async for chunk in chunks])
        thumbnail = await decoding.make_variant(BytesIO(original), THUMB)
    except (ObjectNotFound, UnreadablePicture, UnsupportedMedia):
        return False
    await get_storage().put(storage_key(image, THUMB), thumbnail)
    with suppress(CommitRefused):
        async with changes_of(User(image.owner_id, image.owner_id)) as work:
            work.expect_equal(image, "blob_id")
            Image.objects.update(work, image, thumb_size=len(thumbnail))
            Blob.objects.update(work, Blob(image.owner_id, image.blob_id), thumb_size=len(thumbnail))
    return True


async def size_of(key: str) -> int | None:
    try:
        return await get_storage().stat(key)
    except ObjectNotFound:
        return None
