"""Where sessions and messages are stored and found."""

from collections.abc import AsyncIterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nanobanana.redisdb.client import ask, get_client
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.ids import EPOCH, MILLISECOND
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.keys import global_key, owner_key
from nanobanana.redisdb.managers import Manager, Page, Related, Window
from nanobanana.redisdb.scripts import Script
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from chats.models import Message, Session

S = TypeVar("S", bound="Session")
NOTES = global_key("trash")  # user id → from when on there is something to remove
USERS_AT_ONCE = 100
STEP = 500  # sessions read at once

_scripts = Path(__file__).parent / "scripts"
_note_removal = Script(_scripts / "note_removal.lua")
_settle_removal = Script(_scripts / "settle_removal.lua")


class SessionManager(Manager[S]):
    """Sessions of one kind; and the notes, outside of the users' slots, of who has some to remove."""

    async def alist(self, user_id: str, index: Index, window: Window) -> Page[S]:
        """A part of one of the lists of a user's sessions."""
        return await self.apage(user_id, index.name, window)

    async def alist_tagged(self, user_id: str, index: Index, tag: str, window: Window) -> Page[S]:
        """The same of those that have this tag; costs by how many there are."""
        tagged = self.model.indexes[-1].name.format(tags=tag)
        entries = await self.entries_in_all(user_id, index.name, [tagged])
        first = window.offset
        if window.behind:
            score, identifier = window.behind
            first = sum(entry >= (int(score), identifier) for entry in entries)
        chosen = [identifier for _, identifier in entries[first : first + window.limit]]
        found = await self.aget_many(user_id, chosen)
        return Page(found.objects, len(entries), first, vanished=found.vanished)

    async def find(self, user_id: str, session_id: str) -> S | None:
        try:
            return await self.aget(user_id, session_id)
        except DoesNotExist:
            return None

    def receive(self, work: UnitOfWork, session: "Session", **changes: Any) -> S:
        """Make a session that was read one of this kind, by renaming its key: what asks for the former kind
        misses it from then on. The index entries follow, and `changes` are written.
        """
        kept = {name: getattr(session, name) for name in self.model.fields.keys() & session.fields.keys()}
        moved = self.model(session.owner_id, session.id, **{**kept, **changes})
        type(session).objects.unindex(work, session)
        for name in set(chain.from_iterable(index.scope + index.order for index in moved.indexes)) - set(
            changes
        ):
            work.expect_equal(session, name)
        work.rename(session.key, moved.key)
        stored, absent = self._split(changes)
        absent += session.fields.keys() - self.model.fields.keys()
        if stored:
            work.write("set", moved.key, *stored)
        if absent:
            work.write("unset", moved.key, *absent)
        self.index(work, moved)
        work.refresh(moved)
        return moved

    async def up_to(self, user_id: str, index: Index, moment: datetime, *, limit: int) -> list[S]:
        """The sessions that an index of theirs lists up to this moment, the earliest first."""
        ids = await self.ids_up_to(user_id, index.name, score=milliseconds(moment), limit=limit)
        steps = [ids[first : first + STEP] for first in range(0, len(ids), STEP)]
        pages = [await self.aget_many(user_id, step) for step in steps]
        return list(chain.from_iterable(page.objects for page in pages))

    async def earliest(self, user_id: str, index: Index) -> datetime | None:
        """The lowest score of an index that sorts by moments."""
        entries = await ask("ZRANGE", owner_key(user_id, index.name), 0, 0, "WITHSCORES")
        return EPOCH + int(entries[1]) * MILLISECOND if entries else None

    # ---- who has something to remove
    async def note_removal(self, user_id: str, due: datetime) -> None:
        """Note, before it is so, that the user will have something to remove from `due` on."""
        await _note_removal([NOTES], [user_id, milliseconds(due)])

    async def noted(self, until: datetime, *, offset: int) -> list[tuple[str, str]]:
        """[(user id, note)] of some who have something to remove by then, the earliest first."""
        window = ("WITHSCORES", "LIMIT", offset, USERS_AT_ONCE)
        rows = await ask("ZRANGEBYSCORE", NOTES, "-inf", milliseconds(until), *window)
        return list(zip(rows[::2], rows[1::2], strict=True))

    async def all_noted(self) -> AsyncIterator[str]:
        """The ids of all users who have something to remove now or later, for commands."""
        async for user_id, _ in get_client().zscan_iter(NOTES, count=USERS_AT_ONCE):
            yield user_id

    async def settle_removal(self, user_id: str, note: str, due: datetime | None, later: datetime) -> None:
        """Put the next moment into the note that was read; without one it is looked at `later`, then goes."""
        following = "" if due is None else milliseconds(due)
        await _settle_removal([NOTES], [user_id, note, following, milliseconds(later)])


class MessageManager(Manager["Message"]):
    async def apage_of(self, user_id: str, session_id: str, window: Window) -> "Page[Message]":
        """Messages of a session of any kind, with their images among the related."""
        return await self.apage(user_id, self.index_of(session_id), window, related=["image_ids"])

    def index_of(self, session_id: str) -> str:
        return self.model.indexes[0].name.format(session_id=session_id)

    async def alist(self, session: "Session", window: Window) -> "Page[Message]":
        """Messages of a session with their images, in one round trip; DoesNotExist without the session."""
        index = self.index_of(session.id)
        return await self.apage(session.owner_id, index, window, required=session, related=["image_ids"])

    async def aget_with_images(self, user_id: str, message_id: str) -> "tuple[Message, Related]":
        """A message, its images and its session (absent from the related when in the trash)."""
        return await self.aget_with_related(user_id, message_id, related=["image_ids", "session_id"])
