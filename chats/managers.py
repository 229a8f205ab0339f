"""Where sessions and messages are stored and found."""

from typing import TYPE_CHECKING

from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.managers import Manager, Page, Related, Window
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from chats.models import Message, Session, TrashedSession


class SessionManager(Manager["Session"]):
    async def alist(self, user_id: str, window: Window) -> "Page[Session]":
        """A user's sessions by their latest activity (in the trash: by the time they came there)."""
        return await self.apage(user_id, self.model.indexes[0].name, window)

    def move_to_trash(self, work: UnitOfWork, session: "Session", trashed: "TrashedSession") -> None:
        """Rename the session's key, so that all that asks for the session misses it from now on."""
        work.expect_exists(session)
        work.rename(session.key, trashed.key)
        work.write("unindex", session.indexes[0].key_of(session), session.id)
        moment = str(milliseconds(now()))
        work.write("set", trashed.key, "deleted_at", moment)
        work.write("index", trashed.indexes[0].key_of(trashed), moment, session.id)


class MessageManager(Manager["Message"]):
    async def alist(self, session: "Session", window: Window) -> "Page[Message]":
        """Messages of a session with their images, in one round trip; DoesNotExist without the session."""
        index = self.model.indexes[0].name.format(session_id=session.id)
        return await self.apage(session.owner_id, index, window, required=session, related=["image_ids"])

    async def aget_with_images(self, user_id: str, message_id: str) -> "tuple[Message, Related]":
        """A message, its images and its session (absent from the related when in the trash)."""
        return await self.aget_with_related(user_id, message_id, related=["image_ids", "session_id"])
