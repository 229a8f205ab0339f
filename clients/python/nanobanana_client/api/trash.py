"""Deleted sessions: gone everywhere, kept for a while."""

from collections.abc import AsyncIterator

from nanobanana_client.api.resource import Resource, each_of
from nanobanana_client.decoding import decode
from nanobanana_client.models import Page, Session


class Trash(Resource):
    async def list(
        self, *, limit: int | None = None, offset: int | None = None, cursor: str | None = None
    ) -> Page[Session]:
        query = {"limit": limit, "offset": offset, "cursor": cursor}
        return await self._page("/api/sessions/trash", "sessions", Session, **query)

    def each(self, *, limit: int | None = None) -> AsyncIterator[Session]:
        return each_of(self.list, limit=limit)

    async def restore(self, session_id: str, *, idempotency_key: str | None = None) -> Session:
        """The session as it was, with all it holds."""
        path = f"/api/sessions/{session_id}/restore"
        return decode(Session, (await self._post(path, idempotency_key=idempotency_key))["session"])

    async def delete(self, session_id: str, *, idempotency_key: str | None = None) -> None:
        """For good, with messages and pictures; from the list or from the trash."""
        options = {"query": {"permanent": True}, "idempotency_key": idempotency_key}
        await self._delete(f"/api/sessions/{session_id}", **options)
