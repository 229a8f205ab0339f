"""What becomes of sessions that are deleted: the trash, the way back, and the end."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from django.conf import settings

from accounts.models import User
from accounts.services.access import changes_of
from chats.managers import NOTES
from chats.models import ARCHIVED, HIDDEN, LATEST, TRASHED, HiddenSession, Session, TrashedSession
from chats.services.reindexing import remove_index
from chats.services.removal import remove_hidden, remove_messages
from chats.services.sessions import NO_SESSION, get_session, session_handle
from media_store.services.images import remove_of_session
from nanobanana.errors import Conflict, NotFound
from nanobanana.events import SessionDeleted, SessionRestored
from nanobanana.jobs import job
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.unit_of_work import Operation, unit_of_work, was_committed

T = TypeVar("T")
STEP = 200  # sessions removed at once
TRIES = 10  # of a change of a session that others change too
LISTS = ((Session, LATEST), (Session, ARCHIVED), (TrashedSession, TRASHED), (HiddenSession, HIDDEN))


async def list_trash(*, user: User, window: Window) -> Page[TrashedSession]:
    return await TrashedSession.objects.alist(user.id, TRASHED, window)


async def delete_session(*, user: User, session_id: str, operation: Operation | None = None) -> None:
    """Move a session to the trash: it is gone everywhere at once."""
    if not await was_committed(user.id, operation):
        await _insist(lambda: _move_to_trash(user, session_id, operation))


async def restore_session(*, user: User, session_id: str, operation: Operation | None = None) -> Session:
    """Take a session out of the trash, with all it had."""
    session_handle(user, session_id)
    return await _insist(lambda: _move_from_trash(user, session_id, operation))


async def delete_for_good(*, user: User, session_id: str, operation: Operation | None = None) -> None:
    """Delete a session, in the list or in the trash, for good: it is gone for everyone at once.

    What it has is removed before this returns, unless that takes long.
    """
    session_handle(user, session_id)
    if await was_committed(user.id, operation):
        return
    hidden = await _insist(lambda: _hide(user, session_id, operation))
    await remove_session.begin_here(user_id=hidden.owner_id, session_id=hidden.id)


@job("remove session", time_limit=3600)
async def remove_session(*, user_id: str, session_id: str) -> None:
    """Remove a session that is hidden, and what it has; the purge does the same, a minute later."""
    hidden = await HiddenSession.objects.find(user_id, session_id)
    if hidden:
        await remove_hidden(hidden)


async def remove_everything(*, user_id: str, **_: object) -> None:
    """Remove a deleted account's sessions and messages, in bounded steps that can be repeated."""
    for kind, index in LISTS:
        while session_ids := await kind.objects.ids(user_id, index.name, first=0, limit=STEP):
            for session_id in session_ids:
                await remove_messages(user_id=user_id, session_id=session_id)
                await remove_of_session(user_id=user_id, session_id=session_id)
            page = await kind.objects.aget_many(user_id, session_ids)
            async with unit_of_work(user_id) as work:
                for session in page.objects:
                    kind.objects.discard(work, session)
                kind.objects.remove_ids(work, index.name, session_ids)
    await remove_index(user_id=user_id)


async def _insist(change: Callable[[], Awaitable[T]]) -> T:
    """Make a change of a session as it was read; again when it was another one by then."""
    for _ in range(TRIES):
        try:
            return await change()
        except CommitRefused:
            continue
    raise Conflict


async def _move_to_trash(user: User, session_id: str, operation: Operation | None) -> None:
    session = await get_session(user=user, session_id=session_id)
    await NOTES.note(user.id, now() + timedelta(days=settings.TRASH_DAYS))
    async with changes_of(user, operation) as work:
        TrashedSession.objects.receive(work, session, deleted_at=now())
        work.emit(SessionDeleted(session_id=session.id))


async def _move_from_trash(user: User, session_id: str, operation: Operation | None) -> Session:
    # One that is not in the trash may have left it by this very request, which the commit would remember.
    nothing = TrashedSession.from_hash(user.id, session_id, [])
    trashed = await TrashedSession.objects.find(user.id, session_id) or nothing
    async with changes_of(user, operation) as work:
        work.expect_exists(trashed, NotFound(NO_SESSION))
        session = Session.objects.receive(work, trashed, deleted_at=None)
        work.emit(SessionRestored(session_id=session.id), session)
    return session


async def _hide(user: User, session_id: str, operation: Operation | None = None) -> HiddenSession:
    listed = await Session.objects.find(user.id, session_id)
    found = listed or await TrashedSession.objects.find(user.id, session_id)
    if found is None:
        raise NotFound(NO_SESSION)
    await NOTES.note(user.id, now())
    async with changes_of(user, operation) as work:
        hidden = HiddenSession.objects.receive(work, found, removable_at=now())
        if listed:
            work.emit(SessionDeleted(session_id=session_id))
    return hidden
