"""A bucket of a cloud as a storage: what is the same for every cloud.

The SDKs block, so each call runs in a thread of a bounded pool, and takes PATIENCE at most, waiting
included: a request is answered within three seconds whatever the cloud does. Bytes to be sent have time
for that too.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar, TypeVarTuple

from media_store.pictures import KINDS
from media_store.storage.base import (
    CHUNK_SIZE,
    KEY,
    Address,
    ObjectNotFound,
    StorageUnavailable,
    UploadAddress,
    checked,
)
from nanobanana.errors import APIError, StorageFull
from nanobanana.pools import BoundedPool

THREADS = 16  # nearly all of a call is waiting for the network
WAITING = 500  # calls in line in one process
CONNECT_TIMEOUT = 2  # seconds
READ_TIMEOUT = 5  # so long a thread hangs on after a cloud that was silent is back
ATTEMPTS = 2
PATIENCE = 2.2  # seconds; and blobs.py's for removing what came to nothing, so that an answer comes within 3
PATIENCE_IN_BULK = 25  # seconds, for a thousand keys: both attempts and what lies between them
SLOWEST = 256 * 1024  # bytes a second that the way to the cloud takes at least
LONGEST_LIFE = 7 * 24 * 3600  # seconds; neither cloud signs for longer
KEYS_PER_PAGE = 1000  # neither lists or deletes more at once
SHA256 = "sha256"  # the name under which an object's hash is noted beside it

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

# What to check, by what the cloud answered; {…} are the variables of that cloud.
ADVICE = {
    "NoSuchBucket": "there is no such bucket: check {bucket}, and {region} or {endpoint}",
    "InvalidBucketName": "no bucket can have this name: check {bucket}",
    "InvalidAccessKeyId": "the access key is not known there: check {key}",
    "SignatureDoesNotMatch": "the secret is not that of the access key: check {secret}",
    "NoCredentials": "no credentials were found: set {key} and {secret}",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it by NTP",
    "NoAnswer": "check the network, {endpoint} and {region}",
}
ADVICE_ON_PERMISSION = (
    "the access key may not do this: check {key} and its policy (list the bucket; get, put and delete its "
    "objects), and that {region} or {endpoint} is where the bucket is"
)
ADVICE_ON_PLACE = "the bucket is elsewhere: check {region} and {endpoint}"
ADVICE_ON_OUTAGE = "the cloud has trouble of its own: see its status page"
ADVICE_ON_THE_REST = "check {key}, {secret}, {bucket}, {region}, {endpoint} and this machine's clock"
FULL_CODES = {"QuotaExceeded", "XMinioStorageFull", "StorageQuotaExceeded"}


class Failure(NamedTuple):
    """What a cloud answered: `code` is its own word for it, or NoAnswer; 0 is no status."""

    status: int
    code: str
    detail: str


class Body(Protocol):
    """The bytes of an object as they come; blocking."""

    def read(self, size: int) -> bytes: ...

    def close(self) -> None: ...


class Head(NamedTuple):
    size: int
    sha256: str | None


class KeyPage(NamedTuple):
    keys: list[str]
    token: str | None  # of the next page


class Bucket(Protocol):
    """A bucket by the SDK of its cloud; blocking. Its calls raise `errors`, which `failure` reads."""

    description: str
    variables: Mapping[str, str]  # what the settings behind it are called
    errors: tuple[type[Exception], ...]

    def failure(self, error: Exception) -> Failure: ...

    def put(self, key: str, data: bytes, mime: str, sha256: str) -> None: ...

    def open(self, key: str, start: int, length: int | None) -> Body | None:
        """None when the object has no bytes from `start` on."""

    def head(self, key: str) -> Head: ...

    def delete(self, keys: Sequence[str]) -> None: ...

    def page(self, prefix: str, token: str | None, limit: int) -> KeyPage: ...

    def unfinished(self, before: datetime, remove: bool) -> int: ...

    def presign(self, key: str, life: int, headers: Mapping[str, str]) -> Address: ...

    def presign_put(self, key: str, size: int, mime: str, life: int) -> UploadAddress: ...


class CloudStorage:
    """The storage in `bucket`; whoever may look is sent there, or to `cdn_base_url`, which is not signed."""

    def __init__(self, bucket: Bucket, *, cdn_base_url: str = "") -> None:
        self.description = bucket.description
        self._bucket = bucket
        self._cdn_base_url = cdn_base_url
        self._pool = BoundedPool("storage", threads=THREADS, waiting=WAITING)

    async def put(self, key: str, data: bytes) -> None:
        await self._run(self._put, checked(key), data, patience=PATIENCE + len(data) / SLOWEST)

    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        if length == 0:
            await self.stat(key)
            return
        body = await self._run(self._bucket.open, checked(key), start, length)
        if body is None:
            return
        try:
            while chunk := await self._run(body.read, CHUNK_SIZE):
                yield chunk
        finally:
            # In a thread: the one of a cancelled read goes on, and would hold up who closes meanwhile.
            self._pool.executor.submit(body.close)

    async def stat(self, key: str) -> int:
        return (await self._run(self._bucket.head, checked(key))).size

    async def sha256(self, key: str) -> str:
        head = await self._run(self._bucket.head, checked(key))
        return head.sha256 or await hash_of(self.open(key))

    async def presign(self, key: str, *, life: int, headers: Mapping[str, str]) -> Address:
        if self._cdn_base_url:
            return Address(f"{self._cdn_base_url}/{checked(key)}", life)
        # In a thread: signing takes half a millisecond, but the credentials of a role may have to be fetched.
        return await self._run(self._bucket.presign, checked(key), min(life, LONGEST_LIFE), headers)

    async def presign_put(self, key: str, *, size: int, mime: str, life: int) -> UploadAddress:
        return await self._run(self._bucket.presign_put, checked(key), size, mime, min(life, LONGEST_LIFE))

    async def delete(self, key: str) -> None:
        await self._run(self._bucket.delete, [checked(key)])

    async def delete_prefix(self, prefix: str) -> None:
        async for page in self._pages(f"{checked(prefix)}/"):
            await self._run(self._bucket.delete, page, patience=PATIENCE_IN_BULK)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        async for page in self._pages(f"{checked(prefix)}/" if prefix else ""):
            for key in page:
                if KEY.fullmatch(key):  # others may keep something of theirs in the bucket
                    yield key

    async def unfinished(self, *, before: datetime, remove: bool) -> int:
        """Uploads in parts, which clouds keep, and charge for, until they are completed or aborted."""
        return await self._run(self._bucket.unfinished, before, remove)

    async def check(self) -> None:
        """Ask for one key: a write would cost too much to be made this often."""
        await self._run(self._bucket.page, "", None, 1)

    async def _pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        token = None
        while True:
            listing = (prefix, token, KEYS_PER_PAGE)
            keys, token = await self._run(self._bucket.page, *listing, patience=PATIENCE_IN_BULK)
            if keys:
                yield keys
            if not token:
                return

    def _put(self, key: str, data: bytes) -> None:
        self._bucket.put(key, data, mime_of(data), hashlib.sha256(data).hexdigest())

    async def _run(
        self, function: Callable[[*Arguments], Result], *arguments: *Arguments, patience: float | None = None
    ) -> Result:
        """Call `function` in one of the storage's threads; the SDK's errors come out as ours."""
        try:
            async with asyncio.timeout(patience or PATIENCE):
                return await self._pool.run(function, *arguments)
        except TimeoutError as error:
            raise self._explained(Failure(0, "NoAnswer", "it takes too long")) from error
        except self._bucket.errors as error:
            raise self._explained(self._bucket.failure(error)) from error

    def _explained(self, failure: Failure) -> APIError:
        if failure.status == 404 and failure.code != "NoSuchBucket":
            return ObjectNotFound()
        advice = advice_on(failure).format_map(self._bucket.variables)
        explanation = f"{self.description}: {failure.code} ({failure.detail}): {advice}."
        logger.error("The picture storage failed: %s", explanation)
        if failure.status == 507 or failure.code in FULL_CODES:
            return StorageFull()
        return StorageUnavailable(explanation)


def advice_on(failure: Failure) -> str:
    if failure.code in ADVICE:
        return ADVICE[failure.code]
    if failure.status in {401, 403}:
        return ADVICE_ON_PERMISSION
    if 300 <= failure.status < 400 or "region" in failure.detail:
        return ADVICE_ON_PLACE
    return ADVICE_ON_OUTAGE if failure.status >= 500 else ADVICE_ON_THE_REST


async def hash_of(chunks: AsyncIterator[bytes]) -> str:
    """The SHA-256 of an object that is read, hexadecimal."""
    hasher = hashlib.sha256()
    async for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def mime_of(data: bytes) -> str:
    """By content, for who reads an object without us, through a CDN."""
    kinds = (kind.mime for kind in KINDS if kind.signature.match(data))
    return next(kinds, "application/octet-stream")
