"""What can be done with sessions."""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import User
from accounts.services.access import changes_of
from chats.models import DEFAULT_TITLE, TITLE_BY_DEFAULT, TITLE_BY_PERSON, Session
from media_store.models import Image
from nanobanana.errors import Conflict, NotFound
from nanobanana.events import SessionCreated, SessionUpdated
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.unit_of_work import Operation

NO_SESSION = "There is no such session."
TRIES = 50  # to rename a session that others rename too: of all at once, one succeeds each time


class TitleMoved(Exception):
    """The title changed between reading and writing it."""


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


async def list_sessions(*, user: User, window: Window) -> Page[Session]:
    return await Session.objects.alist(user.id, window)


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


async def rename_session(
    *, user: User, session_id: str, title: str, operation: Operation | None = None
) -> Session:
    """Give a session the title a person chose; the same title again wakes no other device."""
    for _ in range(TRIES):
        session = await get_session(user=user, session_id=session_id)
        try:
            return await _rename(user, session, title, operation)
        except TitleMoved:
            continue
    raise Conflict


async def _rename(user: User, session: Session, title: str, operation: Operation | None) -> Session:
    async with changes_of(user, operation) as work:
        work.expect_exists(session, NotFound(NO_SESSION))
        work.expect_equal(session, "title", TitleMoved())  # or its terms in the search would stay
        Session.objects.update_if_different(work, session, {"title": title, "title_origin": TITLE_BY_PERSON})
        Session.objects.update(work, session, updated_at=now())
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
