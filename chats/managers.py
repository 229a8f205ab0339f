"""Where sessions and messages are stored and found."""

from typing import TYPE_CHECKING

from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.managers import Manager, Page, Related, Window
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from chats.models import Message, Session, TrashedSession


class SessionManager(Manager["Session"]):
    async def alist(self, user_id: str, index: Index, window: Window) -> "Page[Session]":
        """A part of one of the lists of a user's sessions."""
        return await self.apage(user_id, index.name, window)

    async def alist_tagged(self, user_id: str, index: Index, tag: str, window: Window) -> "Page[Session]":
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

    def move_to_trash(self, work: UnitOfWork, session: "Session", trashed: "TrashedSession") -> None:
        """Rename the session's key, so that all that asks for the session misses it from now on."""
        self.unindex(work, session)
        work.rename(session.key, trashed.key)
        moment = str(milliseconds(now()))
        work.write("set", trashed.key, "deleted_at", moment)
        work.write("index", trashed.indexes[0].key(session.owner_id), moment, session.id)


class MessageManager(Manager["Message"]):
    async def alist(self, session: "Session", window: Window) -> "Page[Message]":
        """Messages of a session with their images, in one round trip; DoesNotExist without the session."""
        index = self.model.indexes[0].name.format(session_id=session.id)
        return await self.apage(session.owner_id, index, window, required=session, related=["image_ids"])

    async def aget_with_images(self, user_id: str, message_id: str) -> "tuple[Message, Related]":
        """A message, its images and its session (absent from the related when in the trash)."""
        return await self.aget_with_related(user_id, message_id, related=["image_ids", "session_id"])
