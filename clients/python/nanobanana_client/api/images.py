"""Pictures."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from nanobanana_client.api.resource import Resource, each_of
from nanobanana_client.decoding import decode
from nanobanana_client.models import BatchResult, CleanUpResult, Image, Page

File = bytes | Path | tuple[str, bytes]  # the content, where it lies, or a name and the content


class Images(Resource):
    async def upload(
        self, session_id: str, file: File, *, type: str = "uploaded", idempotency_key: str | None = None
    ) -> Image:
        """JPEG, PNG, WebP, GIF or AVIF."""
        answer = await self._post(
            "/api/images/upload",
            form={"sessionId": session_id, "type": type},
            files={"image": await _named(file)},
            idempotency_key=idempotency_key,
        )
        return decode(Image, answer["image"])

    async def upload_batch(
        self,
        session_id: str,
        files: Sequence[File],
        *,
        type: str = "uploaded",
        idempotency_key: str | None = None,
    ) -> BatchResult:
        """At most 10; those that are no pictures stand in `failed`, the others are stored."""
        answer = await self._post(
            "/api/images/upload/batch",
            form={"sessionId": session_id, "type": type},
            files=[("images", await _named(file)) for file in files],
            idempotency_key=idempotency_key,
        )
        return decode(BatchResult, answer["results"])

    async def list(
        self,
        *,
        session_id: str | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> Page[Image]:
        """Of a session (then also of one `type`), or all of the account; newest first, 100 a page."""
        path = f"/api/images/session/{session_id}" if session_id else "/api/images/user/all"
        query = {"type": type, "limit": limit, "offset": offset, "cursor": cursor}
        return await self._page(path, "images", Image, **query)

    def each(
        self, *, session_id: str | None = None, type: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Image]:
        return each_of(self.list, session_id=session_id, type=type, limit=limit)

    async def get(self, image_id: str) -> Image:
        """The picture with new signed addresses."""
        return decode(Image, (await self._get(f"/api/images/{image_id}"))["image"])

    async def delete(self, image_id: str, *, idempotency_key: str | None = None) -> None:
        """409 `image_in_use` while a message shows it."""
        await self._delete(f"/api/images/{image_id}", idempotency_key=idempotency_key)

    async def cleanup(self, *, idempotency_key: str | None = None) -> CleanUpResult:
        """Delete the pictures that no message has shown for a day."""
        answer = await self._post("/api/images/cleanup", idempotency_key=idempotency_key)
        return decode(CleanUpResult, answer["results"])


async def _named(file: File) -> tuple[str, bytes]:
    if isinstance(file, Path):
        return file.name, await asyncio.to_thread(file.read_bytes)
    return file if isinstance(file, tuple) else ("picture", file)
