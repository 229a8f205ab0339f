"""Finding messages and sessions."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal

from nanobanana_client.api.resource import Resource, each_of
from nanobanana_client.models import Page, Role, SearchResult

What = Literal["message", "session"]


class Search(Resource):
    async def find(
        self,
        q: str,
        *,
        type: What | None = None,
        session_id: str | None = None,
        role: Role | None = None,
        has_image: bool | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> Page[SearchResult]:
        """All words of `q`, the last one as a prefix; "quoted phrases" exactly; Chinese without spaces."""
        query: dict[str, Any] = {"q": q, "type": type, "sessionId": session_id, "role": role}
        query |= {"hasImage": has_image, "from": _text(after), "to": _text(before)}
        query |= {"limit": limit, "offset": offset, "cursor": cursor}
        return await self._page("/api/search", "results", SearchResult, **query)

    def each(self, q: str, **filters: Any) -> AsyncIterator[SearchResult]:
        return each_of(self.find, q=q, **filters)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
