"""Uploads that go straight to where pictures lie, past the application, and are inspected there.

    begun ──► put, as often as one likes ──► completed: a picture like any other
      └──────────────┴──► left: what was put is swept

What is put stands in a place of its own, lent for a while, and a completion copies it. So its address can
never change a picture, and what was left goes with the place.
"""

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import BinaryIO

from accounts.models import User
from accounts.services.access import changes_of
from media_store import links
from media_store.models import DirectUpload, Image
from media_store.quotas import require_room
from media_store.services import blobs, images
from media_store.services.images import Upload
from media_store.storage import LocalStorage, ObjectNotFound, UploadAddress, get_storage
from nanobanana.errors import (
    APIError,
    Conflict,
    NotFound,
    TooManyRequests,
    UploadIncomplete,
    UploadMismatch,
)
from nanobanana.pools import Places
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork

LATER = timedelta(hours=1)  # after which what was still being put at the end of a life has arrived
OPEN_AT_ONCE = 100  # uploads of one user; about, for those begun at the same moment do not count each other
IN_MEMORY = 1024 * 1024  # of what is inspected; the rest goes to a temporary file
NO_UPLOAD = "There is no such upload, or it has expired."
NOTHING_MORE = "Nothing more is taken here: this upload is complete, or its place is in a cloud."
CONTENT_TYPE = "Content-Type"

logger = logging.getLogger(__name__)
_receiving = Places(200, of_one=20)


@dataclass(frozen=True)
class Begun:
    """An upload and where its bytes go, until then."""

    upload: DirectUpload
    address: UploadAddress
    expires_at: datetime


async def begin_upload(
    *,
    user: User,
    session_id: str,
    type: str,
    mime: str,
    size: int,
    sha256: str | None = None,
    operation: Operation | None = None,
) -> Begun:
    """Say what is going to be put, and learn where."""
    images.require_size(size)
    await images.require_session(user=user, session_id=session_id)
    await require_room(user=user, operation=operation)
    upload = DirectUpload(
        user.id,
        new_id(),
        session_id=session_id,
        type=type,
        mime=mime,
        size=size,
        sha256=sha256,
        created_at=now(),
    )
    await _record(user, upload, operation)
    return await _begun(upload)


async def receive_upload(*, user_id: str, upload_id: str, mime: str, chunks: AsyncIterator[bytes]) -> None:
    """Keep what comes from who has the signed address, which ends with the upload."""
    storage, upload = get_storage(), await _find_open(user_id, upload_id)
    if not isinstance(storage, LocalStorage):
        raise Conflict(NOTHING_MORE)
    if mime != upload.mime:
        raise UploadMismatch(details={CONTENT_TYPE: [f"{upload.mime} was announced."]})
    with _receiving.one(user_id):
        try:
            async with asyncio.timeout((upload.expires_at - now()).total_seconds()):
                await storage.receive(_key(upload), exactly(chunks, upload.size, upload.sha256))
        except TimeoutError as error:
            raise NotFound(NO_UPLOAD) from error
        except ObjectNotFound:  # a completion or the account's deletion cleared the place meanwhile
            await _find_open(user_id, upload_id)
            raise
    try:
        await _find(user_id, upload_id)
    except NotFound:  # the account was deleted meanwhile
        await blobs.clear_place(user_id=user_id, place_id=upload_id)
        raise


async def complete_upload(*, user: User, upload_id: str, operation: Operation | None = None) -> Image:
    """Make a picture of what was put, as if it had been uploaded; once, however often it is asked for."""
    upload = await _find(user.id, upload_id)
    if not upload.image_id:
        try:
            return await _complete(user, upload, operation)
        except (APIError, CommitRefused):
            upload = await _find(user.id, upload_id)
            if not upload.image_id:  # or else another request was first
                raise
    return await images.get_image(user=user, image_id=upload.image_id)


async def exactly(chunks: AsyncIterator[bytes], size: int, sha256: str | None = None) -> AsyncIterator[bytes]:
    """The same chunks; UploadMismatch when they come to another size or another hash."""
    taken, hasher = 0, hashlib.sha256()
    async for chunk in chunks:
        taken += len(chunk)
        if taken > size:
            break
        hasher.update(chunk)
        yield chunk
    if taken != size:
        raise UploadMismatch(details={"size": [f"{size} bytes were announced."]})
    if sha256 and hasher.hexdigest() != sha256:
        raise UploadMismatch(details={"sha256": ["Another hash was announced."]})


async def _record(user: User, upload: DirectUpload, operation: Operation | None) -> None:
    expired, still_open = await DirectUpload.objects.standing(user.id)
    if still_open >= OPEN_AT_ONCE:
        raise TooManyRequests("Too many uploads are begun and not completed.", retry_after=60)
    end = upload.expires_at + LATER
    await blobs.note_release(user.id, due=end)
    async with changes_of(user, operation) as work:
        images.expect_session(work, upload.session_id)
        DirectUpload.objects.create(work, upload)
        DirectUpload.objects.remove_ids(work, DirectUpload.objects.open_index, expired)
        blobs.lend_place(work, upload.id, until=end)


async def _begun(upload: DirectUpload) -> Begun:
    life = max(1, int((upload.expires_at - now()).total_seconds()))
    address = await get_storage().presign_put(_key(upload), size=upload.size, mime=upload.mime, life=life)
    if address is None:
        url = links.upload_url(upload.owner_id, upload.id, upload.expires_at)
        address = UploadAddress(url, {CONTENT_TYPE: upload.mime}, life)
    return Begun(upload, address, min(upload.expires_at, now() + timedelta(seconds=address.life)))


async def _complete(user: User, upload: DirectUpload, operation: Operation | None) -> Image:
    async with _content_of(upload) as file:
        image = await images.upload_image(
            user=user,
            session_id=upload.session_id,
            type=upload.type,
            upload=Upload("", upload.size, file),
            operation=operation,
            settle=partial(_settle, upload),
        )
    await blobs.clear_place(user_id=user.id, place_id=upload.id)
    return image


def _settle(upload: DirectUpload, work: UnitOfWork, image: Image) -> None:
    if image.mime != upload.mime:
        raise UploadMismatch(details={"mime": [f"{upload.mime} was announced, and it is {image.mime}."]})
    DirectUpload.objects.complete(work, upload, image.id)


@asynccontextmanager
async def _content_of(upload: DirectUpload) -> AsyncIterator[BinaryIO]:
    storage, key = get_storage(), _key(upload)
    try:
        if await storage.stat(key) > upload.size:  # before any of it is fetched
            raise UploadMismatch(details={"size": [f"{upload.size} bytes were announced."]})
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            async for chunk in exactly(storage.open(key), upload.size, upload.sha256):
                file.write(chunk)
            yield file  # type: ignore[misc]
    except ObjectNotFound as error:
        raise UploadIncomplete from error


async def _find_open(user_id: str, upload_id: str) -> DirectUpload:
    upload = await _find(user_id, upload_id)
    if upload.image_id:
        raise Conflict(NOTHING_MORE)
    return upload


async def _find(user_id: str, upload_id: str) -> DirectUpload:
    try:
        return await DirectUpload.objects.aget(user_id, upload_id)
    except DoesNotExist as error:
        raise NotFound(NO_UPLOAD) from error


def _key(upload: DirectUpload) -> str:
    return f"{blobs.prefix_of(upload.owner_id, upload.id)}/incoming"
