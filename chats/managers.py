"""Where sessions and messages are stored and found."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chats.claims import KeptRevisions
from chats.search.indexing import MESSAGE_POSTINGS, TITLE_POSTINGS, Range, SearchedManager
from chats.search.matching import Document
from chats.search.query import parse
from chats.search.words import EVERYTHING, terms_of
from nanobanana.notes import Notes
from nanobanana.redisdb.claims import Claim
from nanobanana.redisdb.client import ask, ask_all, get_client
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.families import ID, Family
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.ids import EPOCH
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.managers import Page, Related, Window, arguments_of
from nanobanana.redisdb.scripts import READING, Script
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from chats.models import Message, Session

S = TypeVar("S", bound="Session")
NOTES = Notes("trash")  # who has something to remove
STEP = 500  # sessions read at once

_scripts = Path(__file__).parent / "scripts"

TITLES_LOOKED_AT = 10_000
TITLES_AT_ONCE = 500
REVISIONS_KEPT = 100  # former versions of one message
REVISIONS = Index("message:{id}:revisions", score="revision")  # how they are sorted; a hash holds them

_branches = _scripts / "libraries" / "branches.lua"
_active_branch = Script(_scripts / "active_branch.lua", READING, _branches)
_siblings = Script(_scripts / "siblings.lua", READING, _branches)
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True)
class Revision:
    """A version of a message, its present one or a former one."""

    id: str  # the message's
    revision: int
    text: str
    params: Any
    image_ids: list[str]
    updated_at: datetime


class SessionManager(SearchedManager[S]):
    """Sessions of one kind.

    All kinds share the postings of titles, so a session that changes its kind moves none of them.
    """

    postings = TITLE_POSTINGS
    searched = frozenset({"title"})

    def terms_of(self, values: dict[str, Any]) -> list[str]:
        return terms_of(values["title"])

    async def alist(self, user_id: str, index: Index, window: Window) -> Page[S]:
        """A part of one of the lists of a user's sessions."""
        return await self.apage(user_id, index.name, window)

    async def alist_filtered(
        self, user_id: str, index: Index, window: Window, *, tag: str = "", title: str = ""
    ) -> Page[S]:
        """The same of those that have this tag and this in their titles; costs by how many there are."""
        tagged = [self.model.indexes[-1].name.format(tags=tag)] if tag else []
        entries = await self.entries_in_all(user_id, index.name, tagged)
        if title:
            matching = await self.ids_matching_title(user_id, title)
            entries = [entry for entry in entries if entry[1] in matching]
        first = window.offset
        if window.behind:
            score, identifier = window.behind
            first = sum(entry >= (int(score), identifier) for entry in entries)
        chosen = [identifier for _, identifier in entries[first : first + window.limit]]
        found = await self.aget_many(user_id, chosen)
        return Page(found.objects, len(entries), first, vanished=found.vanished)

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

    async def ids_in_lists(self, user_id: str, indexes: Sequence[Index]) -> list[str]:
        """The ids of all of these lists at one moment."""
        pipeline = get_client().pipeline(transaction=True)
        for index in indexes:
            pipeline.zrange(index.key(user_id), 0, -1)
        return list(dict.fromkeys(chain.from_iterable(await ask_all(pipeline))))

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


class MessageManager(SearchedManager["Message"]):
    """Messages, and their former versions: one hash a message, by their revision."""

    postings = MESSAGE_POSTINGS
    searched = frozenset({"text", "params"})
    session_field = "session_id"

    def terms_of(self, values: dict[str, Any]) -> list[str]:
        return terms_of(values["text"], values["params"])

    def update(self, work: UnitOfWork, instance: "Message", **changes: Any) -> None:
        super().update(work, instance, **changes)
        if not self.searched.isdisjoint(changes):
            work.expect_equal(instance, "revision")

    async def acount_all(self, user_id: str) -> int:
        """How many messages a user has, which are those that have the term of everything."""
        return await ask("ZCARD", self.postings.key(user_id, EVERYTHING))

    async def apage_of(self, user_id: str, session_id: str, window: Window) -> "Page[Message]":
        """Messages of a session of any kind, with their images among the related."""
        return await self.apage(user_id, self.index_of(session_id), window, related=["image_ids"])

    def index_of(self, session_id: str) -> str:
        return self.model.indexes[0].name.format(session_id=session_id)

    async def alist(self, session: "Session", window: Window) -> "Page[Message]":
        """Messages of a session with their images, in one round trip; DoesNotExist without the session."""
        index = self.index_of(session.id)
        return await self.apage(session.owner_id, index, window, required=session, related=["image_ids"])

    async def alist_active(self, session: "Session", window: Window) -> "Page[Message]":
        """The same of those on the session's active branch; costs by the page and the number of edits."""
        messages, edits = self._keys_of_session(session.owner_id, session.id)
        keys, arguments = [messages, session.key, edits], arguments_of(window)
        return await self._fetch(session.owner_id, keys, arguments, ["image_ids"], (), _active_branch)

    async def asiblings(self, message: "Message") -> "tuple[Page[Message], str | None]":
        """The versions of a message that was read, and which of them is on the active branch."""
        owner_id, relations = message.owner_id, self._relations(message.owner_id, ["image_ids"])
        arguments = [self.model.key_prefix(owner_id), message.id, *relations]
        keys = self._keys_of_session(owner_id, message.session_id)
        active_id, rows, related_rows = await _siblings(keys, arguments)
        return self._page(owner_id, len(rows) // 2, 0, rows, related_rows), active_id or None

    async def aget_with_images(self, user_id: str, message_id: str) -> "tuple[Message, Related]":
        """A message, its images and its session (absent from the related when in the trash)."""
        return await self.aget_with_related(user_id, message_id, related=["image_ids", "session_id"])

    async def arevisions(self, message: "Message", window: Window) -> Page[Revision]:
        """The versions of a message that was read, its present one first, then the former ones."""
        newest = message.revision - window.offset
        if window.behind:
            newest = min(message.revision, int(window.behind[0]) - 1)
        numbers = range(newest, max(-1, newest - window.limit), -1)
        pipeline = get_client().pipeline(transaction=False)
        pipeline.hlen(self.revisions_key(message))
        pipeline.hmget(self.revisions_key(message), ["", *numbers])  # a field there must be
        kept, stored = await ask_all(pipeline)
        found = [_revision_of(message, *pair) for pair in zip(numbers, stored[1:], strict=True)]
        return Page([each for each in found if each], kept + 1, message.revision - newest)

    async def aget_revision(self, message: "Message", number: int) -> Revision | None:
        """The version of this number of a message that was read, unless it is not kept."""
        return _revision_of(message, number, await ask("HGET", self.revisions_key(message), str(number)))

    def keep_revision(self, work: UnitOfWork, message: "Message") -> None:
        """Keep what a message that was read says now, and let go of the oldest version."""
        version = {name: getattr(message, name) for name in ("text", "params", "image_ids")}
        content = _to_json({**version, "updated_at": milliseconds(message.updated_at)})
        work.write("set", self.revisions_key(message), str(message.revision), content)
        work.write("unset", self.revisions_key(message), str(message.revision - REVISIONS_KEPT))

    def delete(self, work: UnitOfWork, instance: "Message") -> None:
        super().delete(work, instance)
        work.expect_equal(instance, "revision")
        work.write("delete", self.revisions_key(instance))

    def discard(self, work: UnitOfWork, instance: "Message") -> None:
        super().discard(work, instance)
        work.write("delete", self.revisions_key(instance))

    def remove_ids(self, work: UnitOfWork, index: str, ids: Sequence[str]) -> None:
        super().remove_ids(work, index, ids)
        for identifier in ids:
            work.write("delete", self.revisions_key(self.model.handle(work.owner_id, identifier)))
        if ids:
            edits = index.removesuffix("messages") + "edits"
            work.write("unindex", owner_key(work.owner_id, edits), *ids)

    def families(self) -> Iterator[Family]:
        yield from super().families()
        yield Family(f"message:{ID}:revisions", of_key=self._kept_revisions)

    def _kept_revisions(self, owner_id: str, key: str) -> Iterator[Claim]:
        yield KeptRevisions(key, key.removesuffix(":revisions"), REVISIONS_KEPT)

    def revisions_key(self, message: "Message") -> str:
        return f"{message.key}:revisions"

    def _keys_of_session(self, user_id: str, session_id: str) -> list[str]:
        """The keys of a session's messages and of its edits."""
        return [index.key(user_id, session_id=session_id) for index in self.model.indexes[:2]]


def _revision_of(message: "Message", number: int, stored: str | None) -> Revision | None:
    if number == message.revision:
        present = (message.text, message.params, message.image_ids, message.updated_at)
        return Revision(message.id, number, *present)
    if stored is None:
        return None
    version = json.loads(stored)
    moment = EPOCH + timedelta(milliseconds=version["updated_at"])
    return Revision(message.id, number, version["text"], version["params"], version["image_ids"], moment)
