"""Taking chats out in archives, and bringing them in; `chats.archives` knows how archives are written.

What is brought in is put into drafts, with new ids, and shown by one commit when all of it is there. When
anything fails, the drafts are removed with their pictures; what a crash leaves is seen by nobody and removed
later (drafts.py).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any, Protocol

from django.conf import settings

from accounts.models import User
from accounts.services.access import changes_of
from chats.managers import NOTES
from chats.models import (
    ARCHIVED,
    LATEST,
    TRASHED,
    HiddenSession,
    Message,
    Session,
    TrashedSession,
)
from chats.services.drafts import DRAFT_LIFE, add_to_draft, begin_draft, discard_draft, expect_draft
from media_store.models import Image
from media_store.services.images import Upload, enlist, import_image, remove_imported
from nanobanana.errors import APIError
from nanobanana.events import SessionCreated
from nanobanana.progress import Advance
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.managers import Page, Related, Window, from_related
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork

MESSAGES_AT_ONCE = 50  # which can have 150 KB each
OTHERS_AT_ONCE = 500
SHOWN_AT_ONCE = 1000  # sessions that one commit publishes

logger = logging.getLogger(__name__)


# ---- taking out
@dataclass(frozen=True)
class MessagePage:
    """Some messages, oldest first, and what they refer to.

    `versions` are the ids of those whose `edited_of` is a message before them in the same session.
    """

    messages: list[Message]
    related: Related
    versions: set[str]

    @property
    def shown(self) -> Iterable[str]:
        """The ids of the pictures they show."""
        return (image_id for message in self.messages for image_id in message.image_ids)

    def images_of(self, message: Message) -> list[Image]:
        return from_related(Image, message.owner_id, message.image_ids, self.related)


async def session_ids_of(*, user: User) -> list[str]:
    """The ids of all of a user's sessions, those in the trash last."""
    ids: dict[str, None] = {}  # one that moves meanwhile is met twice
    for model, index in ((Session, LATEST), (Session, ARCHIVED), (TrashedSession, TRASHED)):
        async for page in _pages(partial(model.objects.alist, user.id, index), index, OTHERS_AT_ONCE):
            ids |= dict.fromkeys(session.id for session in page.objects)
    return list(ids)


async def size_of_account(*, user: User) -> int:
    """How many messages and pictures a user has."""
    counts = [
        session.message_count
        async for session in sessions_of(user=user, session_ids=await session_ids_of(user=user))
    ]
    return sum(counts) + (await Image.objects.alist(user.id, Window(1))).total


async def sessions_of(*, user: User, session_ids: Sequence[str]) -> AsyncIterator[Session]:
    """Each of these sessions as it is when its turn comes; those that are gone for good are left out."""
    for session_id in session_ids:
        for manager in (Session.objects, TrashedSession.objects):
            session = await manager.find(user.id, session_id)
            if session:
                yield session
                break


async def pages_of_messages(*, user: User, session: Session) -> AsyncIterator[MessagePage]:
    """All messages of a session that was read; DoesNotExist when it is deleted or restored meanwhile."""
    read = partial(Message.objects.alist, session)
    async for page in _pages(read, Message.indexes[0], MESSAGES_AT_ONCE):
        yield MessagePage(page.objects, page.related, await _versions(user, page.objects))


async def images_of_session(*, user: User, session_id: str) -> AsyncIterator[Image]:
    """All pictures of a session, oldest first, whether or not it is in the trash."""
    read = partial(Image.objects.apage_of_session, user.id, session_id)
    async for page in _pages(read, Image.indexes[1], OTHERS_AT_ONCE):
        for image in page.objects:
            yield image


async def images_of_ids(*, user: User, image_ids: Sequence[str]) -> AsyncIterator[Image]:
    """Those of these pictures that there are."""
    for start in range(0, len(image_ids), OTHERS_AT_ONCE):
        page = await Image.objects.aget_many(user.id, image_ids[start : start + OTHERS_AT_ONCE])
        for image in page.objects:
            yield image


async def _pages(
    read: Callable[[Window], Awaitable[Page[Any]]], index: Index, limit: int
) -> AsyncIterator[Page[Any]]:
    """All pages of an index, each behind the one before."""
    page = await read(Window(limit))
    yield page
    while page.has_more and page.objects:
        last = page.objects[-1]
        page = await read(Window(limit, behind=(index.score_in(last.__dict__), last.id)))
        yield page


async def _versions(user: User, messages: Iterable[Message]) -> set[str]:
    edits = [message for message in messages if message.edited_of]
    if not edits:
        return set()
    edited = (await Message.objects.aget_many(user.id, [str(edit.edited_of) for edit in edits])).objects
    by_id = {message.id: message for message in edited}
    return {edit.id for edit in edits if _comes_behind(edit, by_id.get(str(edit.edited_of)))}


def _comes_behind(message: Message, other: Message | None) -> bool:
    if other is None or other.session_id != message.session_id:
        return False
    return (other.created_at, other.id) < (message.created_at, message.id)


# ---- bringing in
@dataclass(frozen=True)
class SessionRecord:
    """A session of an archive. All ids in records are names inside the archive."""

    id: str
    title: str
    title_origin: str
    created_at: datetime
    updated_at: datetime
    pinned_at: datetime | None = None
    archived_at: datetime | None = None
    tags: list[str] = field(default_factory=list)
    new_id: str | None = None  # which it is to have here
    is_trashed: bool = False  # it comes to the trash, as of now


@dataclass(frozen=True)
class ImageRecord:
    id: str
    session_id: str
    type: str
    created_at: datetime
    filename: str


@dataclass(frozen=True)
class MessageRecord:
    """`image_ids` are of pictures of the archive, `edited_of` is of a message before it in its session."""

    id: str
    role: str
    text: str
    params: dict[str, Any]
    image_ids: list[str]
    edited_of: str | None
    created_at: datetime
    updated_at: datetime


class Archive(Protocol):
    """What is brought in: checked, and never more of it in memory than one picture or some messages."""

    @property
    def sessions(self) -> Sequence[SessionRecord]: ...

    @property
    def images(self) -> Sequence[ImageRecord]: ...

    async def picture(self, image: ImageRecord) -> bytes: ...

    def refuse(self, image: ImageRecord, error: APIError) -> None:
        """Raise what a picture that cannot be taken means for all, or go on without it."""

    def messages(self, session: SessionRecord) -> AsyncIterator[Sequence[MessageRecord]]: ...


async def import_archive(
    *, user: User, archive: Archive, operation: Operation | None = None, advance: Advance = lambda _: None
) -> list[Session]:
    """Give the user the sessions of an archive, all of them or none; `advance` counts pictures and messages.

    Of more than SHOWN_AT_ONCE, which no request may bring in, some can be shown when others fail.
    """
    bringing = _Import(user, archive, advance)
    try:
        await bringing.fill_drafts()
        return await bringing.publish(operation)
    except BaseException:
        await asyncio.shield(bringing.give_up())
        raise


class _Import:
    """An archive on its way in."""

    def __init__(self, user: User, archive: Archive, advance: Advance) -> None:
        self.user, self.archive, self.advance = user, archive, advance
        self.drafts: dict[str, HiddenSession] = {}  # by the names in the archive
        self.images: dict[str, Image] = {}

    async def fill_drafts(self) -> None:
        for record in self.archive.sessions:
            self.drafts[record.id] = await begin_draft(
                user=self.user,
                title=record.title,
                title_origin=record.title_origin,
                created_at=record.created_at,
                updated_at=record.updated_at,
                tags=record.tags,
                pinned_at=record.pinned_at,
                archived_at=record.archived_at,
                id=record.new_id,
            )
        for image in self.archive.images:
            await self._keep_drafts()
            await self._add_image(image)
            self.advance(1)
        for record in self.archive.sessions:
            await self._add_messages(record)

    async def publish(self, operation: Operation | None) -> list[Session]:
        drafts = list(self.drafts.values())
        sessions = []
        for start in range(0, len(drafts), SHOWN_AT_ONCE):
            sessions += await self._publish(drafts[start : start + SHOWN_AT_ONCE], operation)
        if [session.id for session in sessions] != [draft.id for draft in drafts]:
            await self.give_up()  # a repeated request, answered with the sessions of the first
        return sessions

    async def give_up(self) -> None:
        """Remove what is there so far, but not what was published when only the answer to that was lost."""
        try:
            hidden = [draft async for draft in self._hidden_drafts()]
            for draft in hidden:
                await discard_draft(user=self.user, draft=draft)
            ids = {draft.id for draft in hidden}
            images = [image for image in self.images.values() if image.session_id in ids]
            await remove_imported(user=self.user, images=images)
        except Exception as error:
            logger.error("What is left of an import of %s is removed later: %r", self.user.id, error)

    async def _hidden_drafts(self) -> AsyncIterator[HiddenSession]:
        ids = [draft.id for draft in self.drafts.values()]
        for start in range(0, len(ids), OTHERS_AT_ONCE):
            page = await HiddenSession.objects.aget_many(self.user.id, ids[start : start + OTHERS_AT_ONCE])
            for draft in page.objects:
                yield draft

    async def _publish(self, drafts: list[HiddenSession], operation: Operation | None) -> list[Session]:
        shown = {draft.id for draft in drafts}
        trashed = {record.new_id for record in self.archive.sessions if record.is_trashed}
        if trashed:
            await NOTES.note(self.user.id, now() + timedelta(days=settings.TRASH_DAYS))
        async with changes_of(self.user, operation) as work:
            sessions = [_shown(work, draft, is_trashed=draft.id in trashed) for draft in drafts]
            enlist(work, [image for image in self.images.values() if image.session_id in shown])
        return sessions

    async def _add_image(self, record: ImageRecord) -> None:
        draft = self.drafts[record.session_id]
        content = await self.archive.picture(record)
        try:
            self.images[record.id] = await import_image(
                user=self.user,
                session_id=draft.id,
                type=record.type,
                upload=Upload(record.filename, len(content), BytesIO(content)),
                created_at=record.created_at,
                expect=partial(expect_draft, draft=draft),
            )
        except APIError as error:
            if error.status not in {413, 415, 422}:
                raise
            self.archive.refuse(record, error)

    async def _add_messages(self, record: SessionRecord) -> None:
        ids: dict[str, str] = {}
        async for some in self.archive.messages(record):
            await self._keep_drafts()
            messages = [self._new_message(record, message, ids) for message in some]
            await add_to_draft(user=self.user, draft=self.drafts[record.id], messages=messages)
            self.advance(len(messages))

    def _new_message(self, session: SessionRecord, record: MessageRecord, ids: dict[str, str]) -> Message:
        ids[record.id] = new_id(at=record.created_at)
        return Message(
            self.user.id,
            ids[record.id],
            session_id=self.drafts[session.id].id,
            role=record.role,
            text=record.text,
            params=record.params,
            image_ids=[self.images[each].id for each in record.image_ids if each in self.images],
            edited_of=ids[record.edited_of] if record.edited_of else None,
            created_at=record.created_at,
            updated_at=record.updated_at,
        )

    async def _keep_drafts(self) -> None:
        """Have none of the drafts taken for one that was left behind, however long the others take."""
        for draft in self.drafts.values():
            if draft.removable_at - now() < DRAFT_LIFE / 2:
                await add_to_draft(user=self.user, draft=draft, messages=[])


def _shown(work: UnitOfWork, draft: HiddenSession, *, is_trashed: bool) -> Session:
    expect_draft(work, draft)
    if is_trashed:
        return TrashedSession.objects.receive(work, draft, deleted_at=now())
    session = Session.objects.receive(work, draft)
    work.emit(SessionCreated(session_id=session.id), session)
    return session
