"""The port that every storage offers."""

from collections.abc import AsyncIterator
from typing import Protocol

from nanobanana.errors import NotFound


class ObjectNotFound(NotFound):
    message = "The picture is not in the storage."


class Storage(Protocol):
    """Objects of bytes under keys of ours, `<userId>/<imageId>/<variant>`.

    A prefix is a key's first segments, whole: `<userId>` or `<userId>/<imageId>`.
    Any call may raise ServiceUnavailable, and ValueError for a key that is not one of ours.
    """

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`, whole or not at all; on disk when this returns. Raises StorageFull."""

    def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `start` (or what there is) in chunks; the first raises ObjectNotFound.

        Who has begun to read gets the whole object, even when it is replaced or deleted meanwhile.
        """

    async def stat(self, key: str) -> int:
        """The object's size in bytes. Raises ObjectNotFound."""

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""

    async def delete_prefix(self, prefix: str) -> None:
        """Remove every object below `prefix`, and what interrupted writes left there."""

    def list(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the keys below `prefix` (all keys below ""), in no order."""

    async def check(self) -> None:
        """Return when the storage takes writes; raise ServiceUnavailable or StorageFull when not."""
