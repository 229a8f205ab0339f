"""Pictures."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from nanobanana_client.api.resource import Resource, each_of
from nanobanana_client.decoding import decode
from nanobanana_client.models import BatchResult, CleanUpResult, DirectUpload, Image, Page

File = bytes | Path | tuple[str, bytes]  # the content, where it lies, or a name and the content


class Images(Resource):
    async def upload(
        self, session_id: str, file: File, *, type: str = "uploaded", idempotency_key: str | None = None
    ) -> Image:
        """JPEG, PNG, WebP, GIF, AVIF or HEIC."""
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

    async def upload_directly(
        self, session_id: str, content: bytes, mime: str, *, type: str = "uploaded"
    ) -> Image:
        """The same by `begin_upload`: with a cloud's storage the bytes do not pass through the server."""
        sha256 = hashlib.sha256(content).hexdigest()
        upload = await self.begin_upload(session_id, mime=mime, size=len(content), type=type, sha256=sha256)
        await self._transport.put_bytes(upload.url, content, upload.headers)
        return await self.complete_upload(upload.id)

    async def begin_upload(
        self,
        session_id: str,
        *,
        mime: str,
        size: int,
        type: str = "uploaded",
        sha256: str | None = None,
        idempotency_key: str | None = None,
    ) -> DirectUpload:
        """Put the bytes where the answer says, then complete it. What does not fit them is refused."""
        body = {"sessionId": session_id, "type": type, "mime": mime, "size": size}
        if sha256:
            body["sha256"] = sha256
        answer = await self._post("/api/images/uploads", body, idempotency_key=idempotency_key)
        return decode(DirectUpload, answer["upload"])

    async def complete_upload(self, upload_id: str, *, idempotency_key: str | None = None) -> Image:
        """The picture that was put. 409 `upload_incomplete` before; 422 `upload_mismatch`: it is another."""
        path = f"/api/images/uploads/{upload_id}/complete"
        return decode(Image, (await self._post(path, idempotency_key=idempotency_key))["image"])

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

    def content(self, image_id: str, variant: str = "original") -> AsyncIterator[bytes]:
        """The bytes, in pieces; `variant` is `original`, `display`, `thumb`, `small`, `medium` or `large`."""
        return self._transport.stream(f"/api/images/{image_id}/content?variant={variant}")

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
