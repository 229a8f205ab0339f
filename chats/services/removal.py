"""Removing sessions for good: deleted ones, those too long in the trash, drafts that were left behind.

Such a session is hidden first, so that it is gone for everyone at once; then what it has is removed in
bounded steps. Each is one commit that leaves all counts exact, and whoever comes later goes on from there.
"""

from collections import Counter
from itertools import chain

from chats.models import HiddenSession, Message
from media_store.models import Image
from media_store.services.images import remove_unshown
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import MILLISECOND
from nanobanana.redisdb.managers import Page, Window, from_related
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work

TICK = MILLISECOND  # by which two claims differ at least
STEP = 100  # messages removed at once


async def remove_hidden(session: HiddenSession) -> bool:
    """Remove a hidden session with its messages, and with those of its pictures that no other session shows.

    False when it is in other hands: touched since it was read, or taken over by another removal.
    """
    try:
        await _claim(session)
        while await _remove_some_messages(session):
            pass
        await remove_unshown(user_id=session.owner_id, session_id=session.id)
        await _remove_itself(session)
    except CommitRefused:
        return False
    return True


async def remove_messages(*, user_id: str, session_id: str) -> None:
    """Remove the messages of a deleted account's session, and count nothing: its pictures go as well."""
    while (page := await _some_messages(user_id, session_id)).total:
        async with unit_of_work(user_id) as work:
            for message in page.objects:
                Message.objects.discard(work, message)
            await _discard_vanished(work, session_id, page)


async def _claim(session: HiddenSession) -> None:
    """From here on nobody can add to a draft or publish it, and who removed the session before stops."""
    async with unit_of_work(session.owner_id) as work:
        work.expect_equal(session, "removable_at")
        HiddenSession.objects.update(work, session, removable_at=max(now(), session.removable_at + TICK))


async def _remove_some_messages(session: HiddenSession) -> bool:
    """One step; whether there was anything to do."""
    page = await _some_messages(session.owner_id, session.id)
    if not page.total:
        return False
    shown = Counter(chain.from_iterable(message.image_ids for message in page.objects))
    async with unit_of_work(session.owner_id) as work:
        work.expect_equal(session, "removable_at")
        for message in page.objects:
            work.expect_equal(message, "revision")
            Message.objects.discard(work, message)
        HiddenSession.objects.add(work, session, message_count=-len(page.objects))
        for image in from_related(Image, session.owner_id, shown, page.related):
            Image.objects.add(work, image, ref_count=-shown[image.id])
        await _discard_vanished(work, session.id, page)
    return True


async def _some_messages(user_id: str, session_id: str) -> Page[Message]:
    return await Message.objects.apage_of(user_id, session_id, Window(limit=STEP))


async def _discard_vanished(work: UnitOfWork, session_id: str, page: Page[Message]) -> None:
    """Entries without a message, which only a fault leaves, must not keep a removal from its end."""
    if page.vanished:
        index = Message.objects.index_of(session_id)
        listed = await Message.objects.ids(work.owner_id, index, first=0, limit=STEP)
        found = {message.id for message in page.objects}
        Message.objects.remove_ids(work, index, [listed_id for listed_id in listed if listed_id not in found])


async def _remove_itself(session: HiddenSession) -> None:
    async with unit_of_work(session.owner_id) as work:
        work.expect_equal(session, "removable_at")
        work.expect_absent(Message.indexes[0].key(session.owner_id, session_id=session.id))
        HiddenSession.objects.delete(work, session)
