"""Chats."""

from collections.abc import AsyncIterator, Sequence

from nanobanana_client.api.resource import Resource, each_of, given
from nanobanana_client.decoding import decode
from nanobanana_client.models import Page, PresentDevice, Session, Stats


class Sessions(Resource):
    async def list(
        self,
        *,
        q: str | None = None,
        tag: str | None = None,
        archived: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Pinned ones first, then the newest activity, 20 a page; `q` are words of the title.

        Archived ones come only when they are asked for.
        """
        query = {"q": q, "tag": tag, "archived": archived, "limit": limit, "offset": offset, "cursor": cursor}
        return await self._page("/api/sessions", "sessions", Session, **query)

    def each(
        self,
        *,
        q: str | None = None,
        tag: str | None = None,
        archived: bool | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Session]:
        """All of them, `limit` at a time."""
        return each_of(self.list, q=q, tag=tag, archived=archived, limit=limit)

    async def create(self, title: str | None = None, *, idempotency_key: str | None = None) -> Session:
        """Without a title it is “New Chat”, until the first message names it."""
        answer = await self._post("/api/sessions", given(title=title), idempotency_key=idempotency_key)
        return decode(Session, answer["session"])

    async def get(self, session_id: str) -> Session:
        return decode(Session, (await self._get(f"/api/sessions/{session_id}"))["session"])

    async def update(
        self,
        session_id: str,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        archived: bool | None = None,
        tags: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Session:
        changes = given(title=title, pinned=pinned, archived=archived, tags=tags)
        answer = await self._put(f"/api/sessions/{session_id}", changes, idempotency_key=idempotency_key)
        return decode(Session, answer["session"])

    async def delete(self, session_id: str, *, idempotency_key: str | None = None) -> None:
        """To the trash, from where `trash.restore` brings it back."""
        await self._delete(f"/api/sessions/{session_id}", idempotency_key=idempotency_key)

    async def stats(self, session_id: str) -> Stats:
        return decode(Stats, (await self._get(f"/api/sessions/{session_id}/stats"))["stats"])

    async def duplicate(
        self, session_id: str, *, title: str | None = None, idempotency_key: str | None = None
    ) -> Session:
        """A copy with all messages, which shows the same pictures."""
        path = f"/api/sessions/{session_id}/duplicate"
        answer = await self._post(path, given(title=title), idempotency_key=idempotency_key)
        return decode(Session, answer["session"])

    async def presence(self, session_id: str) -> Sequence[PresentDevice]:
        """Who of the account has a socket in it, the longest there first."""
        answer = await self._get(f"/api/sessions/{session_id}/presence")
        return [decode(PresentDevice, device) for device in answer["devices"]]

    def export_zip(self, session_id: str) -> AsyncIterator[bytes]:
        """The session with its messages and pictures, as a zip in pieces."""
        return self._transport.stream(f"/api/sessions/{session_id}/export")

    async def import_zip(self, archive: bytes, *, idempotency_key: str | None = None) -> Sequence[Session]:
        """All sessions of what an export gave, or none, with new ids."""
        files = {"archive": ("archive.zip", archive)}
        answer = await self._post("/api/sessions/import", files=files, idempotency_key=idempotency_key)
        return [decode(Session, session) for session in answer["sessions"]]
