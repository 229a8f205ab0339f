"""Drafts: sessions that are filled in steps, for more than one commit, and are seen by nobody until whole.

    draft = await begin_draft(user=user, title="Cats", …)
    await add_to_draft(user=user, draft=draft, messages=[…])  # as often as needed
    session = await publish_draft(user=user, draft=draft)     # or discard_draft

A draft that nothing is added to for DRAFT_LIFE was left behind by a crash, and is removed with what it has.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain

from accounts.models import User
from accounts.services.access import changes_of
from chats.managers import NOTES
from chats.models import HiddenSession, Message, Session
from chats.services.removal import remove_hidden
from media_store.models import Image
from nanobanana.errors import Conflict, NotFound
from nanobanana.events import SessionCreated
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork

DRAFT_STEP = 200  # messages added at once
DRAFT_LIFE = timedelta(hours=1)
NO_IMAGE = "There is no such image."
OVERTAKEN = "It took too long, and was given up."


async def begin_draft(
    *,
    user: User,
    title: str,
    title_origin: str,
    created_at: datetime,
    updated_at: datetime,
    tags: Sequence[str] = (),
    pinned_at: datetime | None = None,
    archived_at: datetime | None = None,
    id: str | None = None,
) -> HiddenSession:
    """Make an empty session that nobody sees; under a new id, unless there is one for it."""
    draft = HiddenSession(
        user.id,
        id or new_id(at=created_at),
        title=title,
        title_origin=title_origin,
        created_at=created_at,
        updated_at=updated_at,
        tags=list(tags),
        pinned_at=pinned_at,
        archived_at=archived_at,
        removable_at=now() + DRAFT_LIFE,
    )
    await NOTES.note(user.id, draft.removable_at)
    async with changes_of(user) as work:
        HiddenSession.objects.create(work, draft)
    return draft


async def add_to_draft(*, user: User, draft: HiddenSession, messages: Sequence[Message]) -> None:
    """Add at most DRAFT_STEP messages of the draft's, in one commit; their pictures must exist.

    Without messages it only says that the draft is still being filled.
    """
    if len(messages) > DRAFT_STEP:
        raise ValueError(f"A step of a draft has at most {DRAFT_STEP} messages, not {len(messages)}.")
    async with changes_of(user) as work:
        expect_draft(work, draft)
        for message in messages:
            Message.objects.create(work, message)
        references = Counter(chain.from_iterable(message.image_ids for message in messages))
        for image_id, count in references.items():
            image = Image.handle(user.id, image_id)
            work.expect_exists(image, NotFound(NO_IMAGE))
            Image.objects.add(work, image, ref_count=count)
        HiddenSession.objects.add(work, draft, message_count=len(messages))
        HiddenSession.objects.update(work, draft, removable_at=now() + DRAFT_LIFE)


async def publish_draft(*, user: User, draft: HiddenSession, operation: Operation | None = None) -> Session:
    """Show a draft that is whole; a repeated operation shows the session of the first time, and no other."""
    async with changes_of(user, operation) as work:
        expect_draft(work, draft)
        session = Session.objects.receive(work, draft)
        work.emit(SessionCreated(session_id=session.id), session)
    if session.id != draft.id:
        await discard_draft(user=user, draft=draft)
    return session


async def discard_draft(*, user: User, draft: HiddenSession) -> None:
    """Remove a draft with what it has; one that was published or removed is no matter."""
    found = await HiddenSession.objects.find(user.id, draft.id)
    if found:
        await remove_hidden(found)


def expect_draft(work: UnitOfWork, draft: HiddenSession) -> None:
    """The draft is as it was left, and nobody has begun to remove it; also for what else is put into it."""
    work.expect_equal(draft, "removable_at", Conflict(OVERTAKEN))
