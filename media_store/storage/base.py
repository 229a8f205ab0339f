"""The port that every storage offers."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from nanobanana.errors import NotFound, ServiceUnavailable

CHUNK_SIZE = 256 * 1024  # bytes; a hop to a thread costs as much as reading about this many
SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"  # never opens with a dot: no "..", and drafts cannot be named
# Of a person; others may keep something of theirs in a bucket.
OURS = re.compile(r"[0-9A-Z]{26}/[0-9A-Z]{26}/[a-z]+")
KEY = re.compile(rf"{SEGMENT}(?:/{SEGMENT})*")


class ObjectNotFound(NotFound):
    message = "The picture is not in the storage."


class StorageUnavailable(ServiceUnavailable):
    """`explanation` says what failed and what to check: for the log and for operators, never for clients."""

    message = "The picture storage does not work at the moment; try again shortly."

    def __init__(self, explanation: str) -> None:
        super().__init__()
        self.explanation = explanation


class Address(NamedTuple):
    """Where anybody can read an object for `life` seconds, without us."""

    url: str
    life: int


class UploadAddress(NamedTuple):
    """Where anybody can put an object for `life` seconds, without us, by a PUT with these headers."""

    url: str
    headers: Mapping[str, str]
    life: int


class Storage(Protocol):
    """Objects of bytes under keys of ours, `<userId>/<blobId>/<variant>`.

    A prefix is a key's first segments, whole: `<userId>` or `<userId>/<blobId>`.
    Any call may raise StorageUnavailable, and ValueError for a key that is not one of ours.
    """

    description: str  # for operators: the place, never a secret

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`, whole or not at all; on disk when this returns. Raises StorageFull."""

    def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `start` (or what there is) in chunks; the first raises ObjectNotFound.

        Who has begun to read gets the whole object, even when it is replaced or deleted meanwhile.
        """

    async def stat(self, key: str) -> int:
        """The object's size in bytes. Raises ObjectNotFound."""

    async def sha256(self, key: str) -> str:
        """The hash of the object's bytes, hexadecimal; a storage that noted it does not read them again."""

    async def presign(self, key: str, *, life: int, headers: Mapping[str, str]) -> Address | None:
        """Where to send who may read the object for `life` seconds; None where the bytes come from us.

        The answer there has these headers (of Content-Type, Content-Disposition and Cache-Control), and the
        address may live for less than was asked for. Whether the object is there is not looked at.
        """

    async def presign_put(self, key: str, *, size: int, mime: str, life: int) -> UploadAddress | None:
        """Where who may put exactly `size` bytes of that type does so; None where they come to us."""

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""

    async def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, and what interrupted writes left there."""

    def list(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the keys below `prefix` (all keys below ""), in no order."""

    async def unfinished(self, *, before: datetime, remove: bool) -> int:
        """How many writes of ours were begun before then and never finished; with `remove`, they are gone."""

    async def check(self) -> None:
        """Return soon when the storage serves; raise StorageUnavailable or StorageFull when not."""


def checked(key: str) -> str:
    """`key`, if it is one of ours or a prefix of such. Raises ValueError."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a storage key.")
    return key
