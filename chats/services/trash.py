"""What becomes of sessions that are deleted."""

from accounts.models import User
from accounts.services.access import changes_of
from chats.models import ARCHIVED, LATEST, TRASHED, Message, Session, TrashedSession
from chats.services.sessions import NO_SESSION, get_session
from nanobanana.errors import NotFound
from nanobanana.events import SessionDeleted
from nanobanana.redisdb.unit_of_work import Operation, unit_of_work, was_committed

STEP = 500  # messages removed at once


async def delete_session(*, user: User, session_id: str, operation: Operation | None = None) -> None:
    """Move a session to the trash: it is gone everywhere at once."""
    if await was_committed(user.id, operation):
        return
    session = await get_session(user=user, session_id=session_id)
    async with changes_of(user, operation) as work:
        work.expect_exists(session, NotFound(NO_SESSION))
        Session.objects.move_to_trash(work, session, TrashedSession(user.id, session.id))
        work.emit(SessionDeleted(session_id=session.id))


async def remove_everything(*, user_id: str, **_: object) -> None:
    """Remove a deleted account's sessions and messages, in bounded steps that can be repeated."""
    for model, index in ((Session, LATEST), (Session, ARCHIVED), (TrashedSession, TRASHED)):
        while session_ids := await model.objects.ids(user_id, index.name, first=0, limit=STEP):
            for session_id in session_ids:
                await _remove_messages(user_id, session_id)
            page = await model.objects.aget_many(user_id, session_ids)
            async with unit_of_work(user_id) as work:
                for session in page.objects:
                    model.objects.discard(work, session)
                model.objects.remove_ids(work, index.name, session_ids)


async def _remove_messages(user_id: str, session_id: str) -> None:
    index = Message.indexes[0].name.format(session_id=session_id)
    while message_ids := await Message.objects.ids(user_id, index, first=0, limit=STEP):
        async with unit_of_work(user_id) as work:
            Message.objects.remove_ids(work, index, message_ids)
