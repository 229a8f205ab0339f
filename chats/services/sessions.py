"""What can be done with sessions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.models import User
from accounts.services.access import changes_of
from chats.models import ARCHIVED, DEFAULT_TITLE, LATEST, TITLE_BY_DEFAULT, TITLE_BY_PERSON, Session
from media_store.models import Image
from nanobanana.errors import Conflict, NotFound
from nanobanana.events import SessionCreated, SessionUpdated
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.unit_of_work import Operation

NO_SESSION = "There is no such session."
TRIES = 50  # to change where a session is listed or what it is called while others change that too


@dataclass(frozen=True)
class SessionStats:
    message_count: int
    image_count: int
    created_at: datetime
    updated_at: datetime


async def get_session(*, user: User, session_id: str) -> Session:
    """The user's session; NotFound when it is absent, in the trash or somebody else's."""
    try:
        return await Session.objects.aget(user.id, session_id)
    except DoesNotExist as error:
        raise NotFound(NO_SESSION) from error


async def list_sessions(
    *, user: User, window: Window, archived: bool = False, tag: str = "", title: str = ""
) -> Page[Session]:
    """The sessions in use, those pinned first, or the archived ones; by tag, and by words of the title."""
    index = list_index(archived)
    if tag or title:
        return await Session.objects.alist_filtered(user.id, index, window, tag=tag, title=title)
    return await Session.objects.alist(user.id, index, window)


def list_index(archived: bool) -> Index:
    """Which list a session is in."""
    return ARCHIVED if archived else LATEST


async def create_session(*, user: User, title: str = "", operation: Operation | None = None) -> Session:
    """Make a session; a title other than the default is a person's choice and stays."""
    identifier = new_id()
    is_chosen = title not in {"", DEFAULT_TITLE}
    session = Session(user.id, identifier, title=title or DEFAULT_TITLE, created_at=time_of(identifier))
    session.__dict__.update(
        updated_at=session.created_at, title_origin=TITLE_BY_PERSON if is_chosen else TITLE_BY_DEFAULT
    )
    async with changes_of(user, operation) as work:
        Session.objects.create(work, session)
        work.emit(SessionCreated(session_id=session.id), session)
    return session


async def update_session(
    *, user: User, session_id: str, fields: dict[str, Any], operation: Operation | None = None
) -> Session:
    """Change `title`, `pinned`, `archived` or `tags`; what is as it was already tells nobody.

    The title is a person's then, and stays. Only a new title counts as activity.
    """
    for _ in range(TRIES):
        session = await get_session(user=user, session_id=session_id)
        try:
            return await _write_changes(user, session, fields, operation)
        except CommitRefused:  # it changed since it was read
            continue
    raise Conflict


async def _write_changes(
    user: User, session: Session, fields: dict[str, Any], operation: Operation | None
) -> Session:
    moment = now()
    changes: dict[str, Any] = {}
    if "title" in fields:
        changes.update(title=fields["title"], title_origin=TITLE_BY_PERSON)
    if "pinned" in fields:
        changes["pinned_at"] = (session.pinned_at or moment) if fields["pinned"] else None
    if "archived" in fields:
        changes["archived_at"] = (session.archived_at or moment) if fields["archived"] else None
    if "tags" in fields:
        changes["tags"] = fields["tags"]
    activity = {"updated_at": moment} if changes.get("title", session.title) != session.title else {}
    async with changes_of(user, operation) as work:
        work.expect_exists(session, NotFound(NO_SESSION))
        if "title" in changes:
            work.expect_equal(session, "title")  # or words of another one would still be found
        Session.objects.update_if_different(work, session, changes, **activity)
        work.emit(SessionUpdated(session_id=session.id), session)
    return session


async def get_stats(*, user: User, session_id: str) -> SessionStats:
    session = await get_session(user=user, session_id=session_id)
    images = await Image.objects.acount_of_session(user.id, session_id)
    return SessionStats(session.message_count, images, session.created_at, session.updated_at)


def session_handle(user: User, session_id: str) -> Session:
    try:
        return Session.handle(user.id, session_id)
    except DoesNotExist as error:
        raise NotFound(NO_SESSION) from error
