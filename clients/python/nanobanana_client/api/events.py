"""The log of changes, for those who have no socket. SyncClient is more comfortable."""

from collections.abc import Collection

from nanobanana_client.api.resource import Resource
from nanobanana_client.decoding import decode
from nanobanana_client.models import LogPage

LONGEST_WAIT = 25  # seconds


class Events(Resource):
    async def since(
        self,
        cursor: str | None,
        *,
        session_ids: Collection[str] | None = None,
        wait: float = 0,
        retries: int | None = None,
    ) -> LogPage:
        """What came after `cursor`, at once or within `wait` seconds; without one, the present position."""
        query = {
            "since": cursor,
            "wait": int(wait),
            "sessionId": ",".join(session_ids) if session_ids else None,
        }
        patience = wait + 15
        answer = await self._transport.call(
            "GET", "/api/sync", query=query, timeout=patience, retries=retries
        )
        return decode(LogPage, answer.body)
