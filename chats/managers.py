"""Where sessions and messages are stored and found."""

from typing import TYPE_CHECKING, Any

from chats.search.indexing import MESSAGE_POSTINGS, TITLE_POSTINGS, Range, SearchedManager
from chats.search.matching import Document
from chats.search.query import parse
from chats.search.words import terms_of
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.managers import Page, Related, Window
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from chats.models import Message, Session, TrashedSession


TITLES_LOOKED_AT = 10_000
TITLES_AT_ONCE = 500


class SessionManager(SearchedManager["Session"]):
    """Sessions of one kind. All kinds share the postings of titles; a search finds those in the list."""

    postings = TITLE_POSTINGS
    searched = frozenset({"title"})

    def terms_of(self, values: dict[str, Any]) -> list[str]:
        return terms_of(values["title"])

    async def ids_matching_title(self, user_id: str, text: str) -> set[str]:
        """The ids of the sessions, those in the list, whose titles are what the query means.

        Complete for the TITLES_LOOKED_AT newest that can be; `params.…` in the query is of no meaning here.
        """
        query, found, seen = parse(text), set(), 0
        within: Range | None = Range() if query.patterns else None
        while within and seen < TITLES_LOOKED_AT:
            candidates = await self.acandidates(user_id, query, within, TITLES_AT_ONCE)
            seen += len(candidates.sessions)
            for session_id, pairs in candidates.sessions.items():
                session = self.model.from_hash(user_id, session_id, pairs)
                if Document(session.title).matches(query):
                    found.add(session_id)
            within = Range(candidates.behind) if candidates.behind else None
        return found

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


class MessageManager(SearchedManager["Message"]):
    postings = MESSAGE_POSTINGS
    searched = frozenset({"text", "params"})
    session_field = "session_id"

    def terms_of(self, values: dict[str, Any]) -> list[str]:
        return terms_of(values["text"], values["params"])

    def update(self, work: UnitOfWork, instance: "Message", **changes: Any) -> None:
        super().update(work, instance, **changes)
        if not self.searched.isdisjoint(changes):
            work.expect_equal(instance, "revision")

    def delete(self, work: UnitOfWork, instance: "Message") -> None:
        super().delete(work, instance)
        work.expect_equal(instance, "revision")

    async def alist(self, session: "Session", window: Window) -> "Page[Message]":
        """Messages of a session with their images, in one round trip; DoesNotExist without the session."""
        index = self.model.indexes[0].name.format(session_id=session.id)
        return await self.apage(session.owner_id, index, window, required=session, related=["image_ids"])

    async def aget_with_images(self, user_id: str, message_id: str) -> "tuple[Message, Related]":
        """A message, its images and its session (absent from the related when in the trash)."""
        return await self.aget_with_related(user_id, message_id, related=["image_ids", "session_id"])
