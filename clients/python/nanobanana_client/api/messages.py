"""Messages, their pictures and their history."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from nanobanana_client.api.resource import Resource, each_of, given
from nanobanana_client.decoding import decode
from nanobanana_client.models import Branches, Image, Message, Page, Revision, Role

Order = Literal["asc", "desc"]
Branch = Literal["active", "all"]


class Messages(Resource):
    async def list(
        self,
        session_id: str,
        *,
        order: Order | None = None,
        before: str | None = None,
        after: str | None = None,
        branch: Branch | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> Page[Message]:
        """Oldest first, 50 a page, each with its pictures; `before` and `after` are ids of messages."""
        query = {"order": order, "before": before, "after": after, "branch": branch}
        paging = {"limit": limit, "offset": offset, "cursor": cursor}
        return await self._page(
            f"/api/sessions/{session_id}/messages", "messages", Message, **query, **paging
        )

    def each(
        self,
        session_id: str,
        *,
        order: Order | None = None,
        branch: Branch | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Message]:
        return each_of(self.list, session_id=session_id, order=order, branch=branch, limit=limit)

    async def create(
        self,
        session_id: str,
        *,
        role: Role = "user",
        text: str | None = None,
        params: Mapping[str, Any] | None = None,
        image_ids: Sequence[str] | None = None,
        edited_of: str | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        fields = given(text=text, params=params, imageIds=image_ids, editedOf=edited_of)
        path = f"/api/sessions/{session_id}/messages"
        answer = await self._post(path, {"role": role, **fields}, idempotency_key=idempotency_key)
        return decode(Message, answer["messageData"])

    async def get(self, message_id: str) -> Message:
        return decode(Message, (await self._get(f"/api/messages/{message_id}"))["message"])

    async def update(
        self,
        message_id: str,
        *,
        text: str | None = None,
        params: Mapping[str, Any] | None = None,
        image_ids: Sequence[str] | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        """With `if_match`, the revision that was read: a message that has moved on is left as it is (412)."""
        changes = given(text=text, params=params, imageIds=image_ids)
        return await self._written(
            "PUT", f"/api/messages/{message_id}", changes, if_match=if_match, idempotency_key=idempotency_key
        )

    async def delete(
        self, message_id: str, *, if_match: int | None = None, idempotency_key: str | None = None
    ) -> None:
        options = {"headers": _condition(if_match), "idempotency_key": idempotency_key}
        await self._delete(f"/api/messages/{message_id}", **options)

    async def images(self, message_id: str) -> Sequence[Image]:
        answer = await self._get(f"/api/messages/{message_id}/images")
        return [decode(Image, image) for image in answer["images"]]

    async def add_image(
        self, message_id: str, image_id: str, *, idempotency_key: str | None = None
    ) -> Message:
        path, body = f"/api/messages/{message_id}/images", {"imageId": image_id}
        return await self._written("POST", path, body, idempotency_key=idempotency_key)

    async def remove_image(
        self, message_id: str, image_id: str, *, idempotency_key: str | None = None
    ) -> Message:
        path = f"/api/messages/{message_id}/images/{image_id}"
        return await self._written("DELETE", path, None, idempotency_key=idempotency_key)

    async def revisions(
        self,
        message_id: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> Page[Revision]:
        """What it is, and what it was before each change, newest first, 20 a page."""
        query = {"limit": limit, "offset": offset, "cursor": cursor}
        return await self._page(f"/api/messages/{message_id}/revisions", "revisions", Revision, **query)

    def each_revision(self, message_id: str, *, limit: int | None = None) -> AsyncIterator[Revision]:
        return each_of(self.revisions, message_id=message_id, limit=limit)

    async def restore(
        self,
        message_id: str,
        revision: int,
        *,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        """Make it what it was; a change like any other, so it can be taken back."""
        path, body = f"/api/messages/{message_id}/restore", {"revision": revision}
        return await self._written("POST", path, body, if_match=if_match, idempotency_key=idempotency_key)

    async def branches(self, message_id: str) -> Branches:
        """The versions of a message that were made with `edited_of`, itself among them."""
        return decode(Branches, await self._get(f"/api/messages/{message_id}/branches"))

    async def _written(
        self,
        method: str,
        path: str,
        body: object,
        *,
        if_match: int | None = None,
        idempotency_key: str | None,
    ) -> Message:
        answer = await self._transport.call(
            method, path, json=body, headers=_condition(if_match), idempotency_key=idempotency_key
        )
        return decode(Message, answer.body["messageData"])


def _condition(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}
