"""Copies of sessions."""

import hashlib

from accounts.models import User
from chats.models import TITLE_BY_PERSON, HiddenSession, Message, Session
from chats.services.drafts import add_to_draft, begin_draft, discard_draft, publish_draft
from chats.services.sessions import NO_SESSION, get_session
from chats.titles import title_of_copy
from nanobanana.errors import NotFound
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import ALPHABET
from nanobanana.redisdb.managers import Page, Window
from nanobanana.redisdb.unit_of_work import Operation, was_committed

STEP = 50  # messages copied at once
TRIES = 5  # to copy messages whose pictures are deleted meanwhile
KEPT = 18  # characters of an id: its time and what orders the ids of one time
OF_ITS_OWN = {"session_id", "edited_of", "revision"}  # fields that a copy does not share


async def duplicate_session(
    *, user: User, session_id: str, title: str = "", operation: Operation | None = None
) -> Session:
    """Copy a session with all messages; the copies show the same pictures, whose bytes are not copied.

    Nobody sees the copy until it is whole. What happens to the original meanwhile may be in it or not.
    """
    original = await get_session(user=user, session_id=session_id)
    moment = now()
    draft = await begin_draft(
        user=user,
        title=title or title_of_copy(original.title),
        title_origin=TITLE_BY_PERSON,
        created_at=moment,
        updated_at=moment,
        tags=original.tags,
    )
    try:
        if not await was_committed(user.id, operation):  # or else the first copy is the answer
            await _copy_messages(user, original, draft)
        return await publish_draft(user=user, draft=draft, operation=operation)
    except Exception:
        await discard_draft(user=user, draft=draft)
        raise


async def _copy_messages(user: User, original: Session, draft: HiddenSession) -> None:
    window: Window | None = Window(limit=STEP)
    while window:
        page = await _copy_step(user, original, draft, window)
        window = _following(page)


async def _copy_step(user: User, original: Session, draft: HiddenSession, window: Window) -> Page[Message]:
    """Copy one page; again when a picture of it is gone by then, for its message is changed or gone too."""
    for tries_left in reversed(range(TRIES)):
        page = await _page_of(original, window)
        copied = [_copy_of(message, draft) for message in page.objects]
        try:
            await add_to_draft(user=user, draft=draft, messages=copied)
        except NotFound:
            if not tries_left:
                raise
        else:
            break
    return page


async def _page_of(original: Session, window: Window) -> Page[Message]:
    try:
        return await Message.objects.alist(original, window)
    except DoesNotExist as error:
        raise NotFound(NO_SESSION) from error


def _following(page: Page[Message]) -> Window | None:
    if not page.objects or not page.has_more:
        return None
    last = page.objects[-1]
    return Window(limit=STEP, behind=(str(milliseconds(last.created_at)), last.id))


def _copy_of(message: Message, draft: HiddenSession) -> Message:
    shared = {name: getattr(message, name) for name in Message.fields.keys() - OF_ITS_OWN}
    return Message(
        message.owner_id,
        id_of_copy(message.id, draft.id),
        session_id=draft.id,
        edited_of=message.edited_of and id_of_copy(message.edited_of, draft.id),
        **shared,
    )


def id_of_copy(message_id: str, session_id: str) -> str:
    """The id of a message's copy in that session: one of the same time and order.

    It follows from the two, so that a copy can name another one without a table of all.
    """
    digest = hashlib.sha256(f"{message_id} {session_id}".encode()).digest()
    return message_id[:KEPT] + "".join(ALPHABET[byte % 32] for byte in digest[: 26 - KEPT])
