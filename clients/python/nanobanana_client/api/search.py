"""Finding messages and sessions."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal

from nanobanana_client.api.resource import Resource, each_of
from nanobanana_client.decoding import decode
from nanobanana_client.models import Role, SearchPage, SearchPagination, SearchResult

Sort = Literal["newest", "relevance"]
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
        since: datetime | None = None,
        until: datetime | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> SearchPage:
        """All words of `q`, the last one as a prefix; "quoted phrases" exactly; Chinese without spaces."""
        query: dict[str, Any] = {"q": q, "type": type, "sessionId": session_id, "role": role}
        query |= {"hasImage": has_image, "from": _text(since), "to": _text(until)}
        query |= {"sort": sort, "limit": limit, "cursor": cursor}
        answer = await self._transport.call("GET", "/api/search", query=query)
        items = [decode(SearchResult, result) for result in answer.body["results"]]
        pagination = decode(SearchPagination, answer.body["pagination"])
        return SearchPage(items, pagination, answer.sync_cursor)

    def each(self, q: str, **filters: Any) -> AsyncIterator[SearchResult]:
        return each_of(self.find, q=q, **filters)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
