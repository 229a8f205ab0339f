"""`/api/sync`, and who is in a session."""

import asyncio
from typing import Any

import orjson
from django.http import HttpResponse

from accounts.viewsets import SignedInViewSet
from chats.services.sessions import get_session
from nanobanana.redisdb.event_log import Cursor
from nanobanana.serializers import validate
from realtime.attendance import call_the_roll
from realtime.calls import PRESENCE, SYNC
from realtime.hub import get_hub
from realtime.poll import Poll
from realtime.serializers import SyncQuery


class SyncViewSet(SignedInViewSet):
    calls = SYNC

    position: Cursor | None = None

    def cursor(self) -> Cursor:
        return self.position or super().cursor()

    async def list(self) -> HttpResponse:
        """What came behind `since`, as soon as there is something, else when `wait` is over."""
        query = validate(SyncQuery, self.request.GET.dict())
        poll = Poll(self.visitor, filter(None, query.get("sessionId", "").split(",")))
        if query.get("since"):
            await self._follow(poll, Cursor.parse(query["since"]), query["wait"])
        else:
            poll.cursor = self.visitor.head
        self.position = poll.cursor
        return self.answer(content_of(poll))

    async def _follow(self, poll: Poll, since: Cursor, seconds: int) -> None:
        leaving = asyncio.create_task(self.request.receive())  # nanobanana.asgi gives it
        leaving.add_done_callback(lambda _: poll.end())
        try:
            async with get_hub().following(poll, since):
                await poll.wait(seconds)
        finally:
            leaving.cancel()


class PresenceViewSet(SignedInViewSet):
    calls = PRESENCE

    async def list(self, session_id: str) -> HttpResponse:
        await get_session(user=self.user, session_id=session_id)
        roll = await call_the_roll(self.user.id)
        return self.answer({"devices": roll.devices_in(session_id) if roll else []})


def content_of(poll: Poll) -> dict[str, Any]:
    """The events are the very frames that sockets are sent."""
    return {
        "events": [orjson.Fragment(frame.text) for frame in poll.frames],
        "cursor": str(poll.cursor),
        "resyncRequired": poll.needs_resync,
    }
