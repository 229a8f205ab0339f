"""The search index as a whole: made anew, compared with what it indexes, removed."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from chats.models import Message, Session
from chats.search.indexing import SearchedManager
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.unit_of_work import unit_of_work

M = TypeVar("M", bound=Model)
Advance = Callable[[int], None]
MESSAGES_AT_ONCE = 100
TERMS_AT_ONCE = 1000  # written by one commit, about
TRIES = 20  # to write the terms of an object that others change


@dataclass
class Indexed:
    """What a user has in the index, once it is made anew."""

    user_id: str
    sessions: int = 0
    messages: int = 0


async def remove_index(*, user_id: str) -> None:
    """Remove all postings of a user, in bounded steps that can be repeated."""
    for manager in (Message.objects, Session.objects):
        await manager.remove_postings(user_id)


async def size_of(user_id: str) -> int:
    """How many objects a reindexing of this user goes over, about."""
    return sum([1 + session.message_count async for session in _sessions(user_id)])


async def reindex(*, user_id: str, advance: Advance = lambda _: None) -> Indexed:
    """Remove the index and write it anew, in bounded steps; right as well when others write meanwhile.

    Until it is done, searches find less. Whoever writes meanwhile keeps their own terms right, and what this
    writes it writes only of objects as they are.
    """
    await remove_index(user_id=user_id)
    indexed = Indexed(user_id)
    for session_id in await _session_ids(user_id):
        indexed.sessions += await _reindex_session(user_id, session_id)
        advance(1)
        async for messages in _messages(user_id, session_id):
            for some in _in_steps(Message.objects, messages):
                await _repost(Message.objects, user_id, some)
            indexed.messages += len(messages)
            advance(len(messages))
    return indexed


async def index_faults(*, user_id: str, advance: Advance = lambda _: None) -> list[str]:
    """A sentence for each fault of the index, [] when it agrees with the data; for a user at rest."""
    titles: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    faults: list[str] = []
    async for session in _sessions(user_id):
        faults += await _faults_of(Session.objects, [session], titles)
        advance(1)
        async for messages in _messages(user_id, session.id):
            faults += await _faults_of(Message.objects, messages, texts)
            advance(len(messages))
    for manager, expected in ((Session.objects, titles), (Message.objects, texts)):
        wrong = await manager.wrong_postings(user_id, expected)
        faults += [f"{manager.postings.key(user_id, term)} is not what the data say." for term in wrong]
    return faults


async def _faults_of(manager: SearchedManager[M], objects: list[M], counted: Counter[str]) -> list[str]:
    for each in objects:
        counted.update(manager.terms_of_object(each))
    missing = await manager.missing_postings(objects)
    return [f"{manager.postings.key(each.owner_id, term)} does not list {each.id}." for each, term in missing]


async def _reindex_session(user_id: str, session_id: str) -> int:
    """Write the terms of a session's title, of whatever kind it is by now; how many there were of it."""
    for kind in _kinds() * 2:  # it may change its kind meanwhile
        found = (await kind.objects.aget_many(user_id, [session_id])).objects
        if found:
            await _repost(kind.objects, user_id, found)
            return 1
    return 0


async def _repost(manager: SearchedManager[Any], user_id: str, objects: list[Any]) -> None:
    """Write the terms of these objects as they are; of those that are gone, none."""
    for _ in range(TRIES):
        try:
            async with unit_of_work(user_id) as work:
                for each in objects:
                    manager.repost(work, each)
            return
        except CommitRefused:
            objects = (await manager.aget_many(user_id, [each.id for each in objects])).objects
    raise CommitRefused(f"{objects!r:.200} changed all the time")


async def _session_ids(user_id: str) -> list[str]:
    """The ids of the user's sessions of all kinds at one moment."""
    lists = [index for kind in _kinds() for index in kind.indexes if not index.named]
    return await Session.objects.ids_in_lists(user_id, lists)


async def _sessions(user_id: str) -> AsyncIterator[Session]:
    """The user's sessions of all kinds."""
    session_ids = await _session_ids(user_id)
    for first in range(0, len(session_ids), MESSAGES_AT_ONCE):
        for kind in _kinds():
            page = await kind.objects.aget_many(user_id, session_ids[first : first + MESSAGES_AT_ONCE])
            for session in page.objects:
                yield session


async def _messages(user_id: str, session_id: str) -> AsyncIterator[list[Message]]:
    """The messages of a session, some at a time."""
    index = Message.indexes[0].name.format(session_id=session_id)
    behind = None
    while True:
        page = await Message.objects.apage(user_id, index, Window(MESSAGES_AT_ONCE, behind=behind))
        if not page.objects:
            return
        yield page.objects
        last = page.objects[-1]
        behind = (Message.indexes[0].score_in(last.__dict__), last.id)


def _kinds() -> list[type[Session]]:
    """The kinds of sessions: the listed ones, and those under other keys."""
    return [Session, *Session.__subclasses__()]


def _in_steps(manager: SearchedManager[M], objects: list[M]) -> Iterator[list[M]]:
    """The objects in parts that have TERMS_AT_ONCE terms, or one object more."""
    part: list[M] = []
    count = 0
    for each in objects:
        part.append(each)
        count += len(manager.terms_of_object(each))
        if count >= TERMS_AT_ONCE:
            yield part
            part, count = [], 0
    if part:
        yield part
