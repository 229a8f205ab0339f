"""Finding messages and sessions by what they say."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from accounts.models import User
from chats.models import Message, Session
from chats.search.indexing import EVERY_MESSAGE, EVERYTHING, Candidates, Narrowing, Range
from chats.search.matching import Document
from chats.search.query import Query
from chats.services.sessions import NO_SESSION, session_handle
from media_store.models import Image
from nanobanana.errors import NotFound
from nanobanana.redisdb.exceptions import DoesNotExist

MESSAGE, SESSION = "message", "session"
NEWEST, RELEVANCE = "newest", "relevance"
RANKED = 200  # of the newest hits, when the most relevant come first
ROUNDS = 8  # to Redis, of one kind and request: what they did not reach is for the next page
CANDIDATES_AT_ONCE = 100


@dataclass(frozen=True)
class Search:
    """What to find. `behind` is the position of the last hit of the page before: (relevance or time, id)."""

    query: Query
    limit: int
    kinds: tuple[str, ...] = (MESSAGE, SESSION)
    narrowing: Narrowing = EVERY_MESSAGE
    within: Range = EVERYTHING
    sort: str = NEWEST
    behind: tuple[str, str] | None = None

    @property
    def wanted_kinds(self) -> tuple[str, ...]:
        """What only a message can have leaves sessions out; a query without words means nothing."""
        if self.query.is_empty:
            return ()
        if self.narrowing != EVERY_MESSAGE or self.query.parameters:
            return tuple(kind for kind in self.kinds if kind == MESSAGE)
        return self.kinds


@dataclass(frozen=True)
class Hit:
    """A message with its images, or a session, that is what the query means."""

    query: Query
    document: Document
    session: Session
    message: Message | None = None
    images: list[Image] = field(default_factory=list)

    @property
    def id(self) -> str:
        return (self.message or self.session).id

    @cached_property
    def relevance(self) -> int:
        return self.document.relevance(self.query)

    def highlights(self) -> list[list[int]]:
        return self.document.highlights(self.query)


@dataclass(frozen=True)
class Found:
    """Hits in the order asked for; `behind` is the position the next page starts behind, None at the end."""

    hits: list[Hit]
    behind: tuple[int | None, str] | None  # relevance (None when sorted by time) and id
    total: int | None  # None while it is not known


async def search(*, user: User, search: Search) -> Found:
    """One page of what is found; NotFound without the session that the search is narrowed to."""
    if search.narrowing.session_id:
        session_handle(user, search.narrowing.session_id)
    try:
        found = await (_most_relevant(user, search) if search.sort == RELEVANCE else _newest(user, search))
    except DoesNotExist as error:
        raise NotFound(NO_SESSION) from error
    return replace(found, hits=await _with_images(user, found.hits))


async def _newest(user: User, search: Search) -> Found:
    within = search.within
    if search.behind:
        within = replace(within, behind=min(filter(None, (within.behind, search.behind[1]))))
    hits, reached = await _collect(user, search, within, search.limit + 1)
    if len(hits) > search.limit:
        hits = hits[: search.limit]
        reached = hits[-1].id
    if reached:
        return Found(hits, (None, reached), None)
    return Found(hits, None, None if search.behind else len(hits))


async def _most_relevant(user: User, search: Search) -> Found:
    """Of the RANKED newest hits, those behind the position in the order of relevance.

    The relevance of a hit never changes while its text stays, so no page repeats what one before it had.
    """
    hits, reached = await _collect(user, search, search.within, RANKED)
    total = None if reached else len(hits)
    hits = sorted(hits[:RANKED], key=attrgetter("relevance", "id"), reverse=True)
    if search.behind:
        relevance, identifier = search.behind
        hits = [hit for hit in hits if (hit.relevance, hit.id) < (int(relevance), identifier)]
    last = hits[search.limit - 1] if len(hits) > search.limit else None
    return Found(hits[: search.limit], (last.relevance, last.id) if last else None, total)


async def _collect(user: User, search: Search, within: Range, most: int) -> tuple[list[Hit], str | None]:
    """The newest hits of all kinds, newest first; and how far that is complete, None to the end."""
    found: list[Hit] = []
    reached: list[str] = []
    for kind in search.wanted_kinds:
        hits, behind = await _collect_kind(kind, user, search, within, most)
        found += hits
        reached += [behind] if behind else []
    newest_end = max(reached, default="")
    complete = [hit for hit in found if hit.id >= newest_end]
    return sorted(complete, key=attrgetter("id"), reverse=True), newest_end or None


async def _collect_kind(
    kind: str, user: User, search: Search, within: Range, most: int
) -> tuple[list[Hit], str | None]:
    manager: Any = Message.objects if kind == MESSAGE else Session.objects
    hits: list[Hit] = []
    wanted = min(most, CANDIDATES_AT_ONCE)
    for _ in range(ROUNDS):
        candidates = await manager.acandidates(user.id, search.query, within, wanted, search.narrowing)
        hits += _hits(kind, user, search.query, candidates)
        if candidates.behind is None or len(hits) >= most:
            return hits, candidates.behind
        within = replace(within, behind=candidates.behind)
        wanted = CANDIDATES_AT_ONCE
    return hits, within.behind


def _hits(kind: str, user: User, query: Query, candidates: Candidates) -> Iterator[Hit]:
    """The candidates that are what the query means."""
    sessions = {id: Session.from_hash(user.id, id, pairs) for id, pairs in candidates.sessions.items()}
    for identifier, pairs in candidates.hashes.items():
        if kind == SESSION:
            document = Document(sessions[identifier].title)
            if document.matches(query):
                yield Hit(query, document, sessions[identifier])
            continue
        document = Document(dict(zip(pairs[::2], pairs[1::2], strict=True)).get("text", ""))
        if document.matches(query):  # most of a message need not be read before
            message = Message.from_hash(user.id, identifier, pairs)
            if all(each.holds(message.params) for each in query.parameters):
                yield Hit(query, document, sessions[message.session_id], message)


async def _with_images(user: User, hits: list[Hit]) -> list[Hit]:
    ids = dict.fromkeys(id for hit in hits if hit.message for id in hit.message.image_ids)
    if not ids:
        return hits
    images = {image.id: image for image in (await Image.objects.aget_many(user.id, list(ids))).objects}
    return [
        replace(hit, images=[images[id] for id in hit.message.image_ids if id in images])
        if hit.message
        else hit
        for hit in hits
    ]
