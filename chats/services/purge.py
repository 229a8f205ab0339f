"""The purge removes for good what has been in the trash too long, and hidden sessions whose time has come.

Who has any is noted in one sorted set of all users, so that nobody else is looked at.
"""

import logging
from collections.abc import AsyncIterator
from copy import copy
from datetime import datetime, timedelta

from django.conf import settings

from chats.managers import NOTES
from chats.models import HIDDEN, TRASHED, HiddenSession, Session, TrashedSession
from chats.services.removal import remove_hidden
from nanobanana.jobs import job
from nanobanana.redisdb.checking import Findings
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.unit_of_work import unit_of_work

STEP = 200  # sessions looked at at once
LATER = timedelta(hours=1)  # when to look again at a user who has nothing; longer than any request

logger = logging.getLogger(__name__)


def trash_ends() -> datetime:
    """What came to the trash before that is purged."""
    return now() - timedelta(days=settings.TRASH_DAYS)


@job("purge", every=60, time_limit=3600)
async def purge_due() -> None:
    """Purge what is due, of all users; one who cannot be purged now does not stop the others."""
    await NOTES.work_off(_purge, at=now(), later=now() + LATER)


async def purge_user(*, user_id: str, before: datetime) -> AsyncIterator[Session]:
    """Remove what a user has in the trash since before then, and what is hidden and due; yields each."""
    goes_on = True
    while goes_on:
        goes_on = False
        for session in await due_sessions(user_id=user_id, before=before):
            hidden = await _hidden(session)
            if hidden and await remove_hidden(hidden):
                goes_on = True
                yield session


async def due_sessions(*, user_id: str, before: datetime, limit: int = STEP) -> list[Session]:
    """So many at most of what a purge would remove now, of either kind."""
    trashed = await TrashedSession.objects.up_to(user_id, TRASHED, before, limit=limit)
    hidden = await HiddenSession.objects.up_to(user_id, HIDDEN, now(), limit=limit)
    return [*trashed, *hidden]


async def users_with_trash() -> AsyncIterator[str]:
    """The ids of all users who may have something in the trash, or hidden."""
    async for user_id in NOTES.owners():
        yield user_id


async def check_note(*, findings: Findings, user_id: str, repair: bool) -> None:
    """Who has something to purge is noted."""
    await NOTES.check(findings, user_id, _next_due, repair=repair)


async def _purge(user_id: str) -> datetime | None:
    """Purge a user; when there will be more."""
    async for session in purge_user(user_id=user_id, before=trash_ends()):
        logger.info("%r is removed for good", session)
    return await _next_due(user_id)


async def _next_due(user_id: str) -> datetime | None:
    trashed = await TrashedSession.objects.earliest(user_id, TRASHED.name)
    hidden = await HiddenSession.objects.earliest(user_id, HIDDEN.name)
    ends = trashed and trashed + timedelta(days=settings.TRASH_DAYS)
    return min(filter(None, (ends, hidden)), default=None)


async def _hidden(session: Session) -> HiddenSession | None:
    """The session, hidden if it was in the trash; None when it has been taken out of there meanwhile."""
    if isinstance(session, HiddenSession):
        return copy(session)
    try:
        async with unit_of_work(session.owner_id) as work:
            work.expect_equal(session, "deleted_at")
            return HiddenSession.objects.receive(work, session, removable_at=now())
    except CommitRefused:
        return None
