"""What can be done with messages.

`if_match` is the revisions that the caller has seen; a message at another one is left as it is.
"""

from collections.abc import Awaitable, Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from accounts.models import User
from accounts.services.access import changes_of
from chats.managers import Revision
from chats.models import DEFAULT_TITLE, TITLE_BY_DEFAULT, TITLE_FROM_TEXT, Message, Session
from chats.services.sessions import NO_SESSION, session_handle
from chats.titles import title_from
from media_store.models import Image
from nanobanana.errors import BadRequest, Conflict, NotFound, PreconditionFailed
from nanobanana.events import MessageCreated, MessageDeleted, MessageUpdated, SessionUpdated
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.managers import Page, Window, from_related
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, was_committed

IMAGES_OF_A_MESSAGE = 20
TRIES = 50  # to change a message that others change too: of all at once, one succeeds each time
NO_MESSAGE = "There is no such message."
NO_IMAGE = "There is no such image."
NO_REVISION = "There is no such revision."

Change = Callable[[Message], Awaitable[dict[str, Any]]]  # of the message as it stands


class Moved(Exception):
    """The message changed between reading and writing it."""


class ImageGone(NotFound):
    message = NO_IMAGE


@dataclass(frozen=True)
class MessageWithImages:
    message: Message
    images: list[Image]


@dataclass(frozen=True)
class Branches:
    """The versions of a message, with their images among the related, and which of them is being shown."""

    siblings: Page[Message]
    active_id: str | None


async def list_messages(
    *, user: User, session_id: str, window: Window, only_active: bool = False
) -> Page[Message]:
    """Messages of all or the active branch, their images among the related; NotFound without the session."""
    read = Message.objects.alist_active if only_active else Message.objects.alist
    try:
        return await read(Session.handle(user.id, session_id), window)
    except DoesNotExist as error:
        raise NotFound(NO_SESSION) from error


async def get_message(*, user: User, message_id: str) -> MessageWithImages:
    """The user's message; NotFound when it is absent, its session in the trash, or somebody else's."""
    try:
        message, related = await Message.objects.aget_with_images(user.id, message_id)
    except DoesNotExist as error:
        raise NotFound(NO_MESSAGE) from error
    if not from_related(Session, user.id, [message.session_id], related):
        raise NotFound(NO_MESSAGE)
    return MessageWithImages(message, from_related(Image, user.id, message.image_ids, related))


async def list_revisions(*, user: User, message_id: str, window: Window) -> Page[Revision]:
    """The versions of a message, its present one first, then the former ones that are kept."""
    found = await get_message(user=user, message_id=message_id)
    return await Message.objects.arevisions(found.message, window)


async def list_branches(*, user: User, message_id: str) -> Branches:
    """The messages that stand for one another: versions of one message, or answers to one."""
    found = await get_message(user=user, message_id=message_id)
    siblings, active_id = await Message.objects.asiblings(found.message)
    if not siblings.objects:
        raise NotFound(NO_MESSAGE)
    return Branches(siblings, active_id)


async def create_message(
    *,
    user: User,
    session_id: str,
    role: str,
    text: str = "",
    params: dict[str, Any] | None = None,
    image_ids: Iterable[str] = (),
    edited_of: str | None = None,
    operation: Operation | None = None,
) -> MessageWithImages:
    """Add a message; the first one of a person gives the session its title.

    With `edited_of`, a message of the same session: a new version of it, or in another role an answer to it.
    """
    session = session_handle(user, session_id)
    images = _image_handles(user, image_ids)
    message = _new_message(user, session_id, role, text, params, images, edited_of)
    async with changes_of(user, operation) as work:
        work.expect_exists(session, NotFound(NO_SESSION))
        if edited_of:
            _expect_in_session(work, _message_handle(user, edited_of), session_id)
        Message.objects.create(work, message)
        Session.objects.add(work, session, message_count=1)
        Session.objects.update(work, session, updated_at=message.created_at)
        _count_references(work, images, by=1)
        _title_session(work, session, role, text)
        work.emit(MessageCreated(session_id=session_id, message_id=message.id), message, *images)
        work.emit(SessionUpdated(session_id=session_id), session)
    return MessageWithImages(message, images)


async def update_message(
    *,
    user: User,
    message_id: str,
    changes: dict[str, Any],
    if_match: Container[int] | None = None,
    operation: Operation | None = None,
) -> MessageWithImages:
    """Change text, params or image_ids; what is as it was already tells nobody."""

    async def change(_: Message) -> dict[str, Any]:
        return changes

    return await _change_message(user, message_id, change, if_match, operation)


async def attach_image(
    *,
    user: User,
    message_id: str,
    image_id: str,
    if_match: Container[int] | None = None,
    operation: Operation | None = None,
) -> MessageWithImages:
    """Show one more image in a message; one it shows already changes nothing."""

    async def change(message: Message) -> dict[str, Any]:
        image_ids = [*message.image_ids, *({image_id} - set(message.image_ids))]
        if len(image_ids) > IMAGES_OF_A_MESSAGE:
            raise BadRequest(f"A message shows at most {IMAGES_OF_A_MESSAGE} images.")
        return {"image_ids": image_ids}

    return await _change_message(user, message_id, change, if_match, operation)


async def detach_image(
    *,
    user: User,
    message_id: str,
    image_id: str,
    if_match: Container[int] | None = None,
    operation: Operation | None = None,
) -> MessageWithImages:
    """Take an image out of a message; NotFound when it is not in it."""
    if await was_committed(user.id, operation):
        return await get_message(user=user, message_id=message_id)

    async def change(message: Message) -> dict[str, Any]:
        if image_id not in message.image_ids:
            raise NotFound(NO_IMAGE)
        return {"image_ids": [shown for shown in message.image_ids if shown != image_id]}

    return await _change_message(user, message_id, change, if_match, operation)


async def restore_revision(
    *,
    user: User,
    message_id: str,
    revision: int,
    if_match: Container[int] | None = None,
    operation: Operation | None = None,
) -> MessageWithImages:
    """Bring a former version back, as a new change, with those of its images that still exist."""

    async def change(message: Message) -> dict[str, Any]:
        version = await Message.objects.aget_revision(message, revision)
        if version is None:
            raise NotFound(NO_REVISION)
        images = (await Image.objects.aget_many(user.id, version.image_ids)).objects
        image_ids = [image.id for image in images]
        return {"text": version.text, "params": version.params, "image_ids": image_ids}

    for _ in range(IMAGES_OF_A_MESSAGE):
        try:
            return await _change_message(user, message_id, change, if_match, operation)
        except ImageGone:
            continue  # after it was looked at; it will not be there the next time
    raise Conflict


async def delete_message(
    *,
    user: User,
    message_id: str,
    if_match: Container[int] | None = None,
    operation: Operation | None = None,
) -> None:
    if await was_committed(user.id, operation):
        return
    for _ in range(TRIES):
        found = await get_message(user=user, message_id=message_id)
        try:
            return await _delete(user, found, if_match, operation)
        except Moved:
            continue
    raise Conflict


def _new_message(
    user: User,
    session_id: str,
    role: str,
    text: str,
    params: dict[str, Any] | None,
    images: list[Image],
    edited_of: str | None,
) -> Message:
    identifier = new_id()
    moment = time_of(identifier)
    return Message(
        user.id,
        identifier,
        session_id=session_id,
        role=role,
        text=text,
        params=params or {},
        image_ids=[image.id for image in images],
        edited_of=edited_of,
        created_at=moment,
        updated_at=moment,
    )


def _title_session(work: UnitOfWork, session: Session, role: str, text: str) -> None:
    title = title_from(text) if role == "user" else ""
    if title:
        session.__dict__.update(title=DEFAULT_TITLE)  # whose terms the search forgets then
        with work.when(session, "title_origin", TITLE_BY_DEFAULT), work.when(session, "title", DEFAULT_TITLE):
            Session.objects.update(work, session, title=title, title_origin=TITLE_FROM_TEXT)


async def _change_message(
    user: User,
    message_id: str,
    change: Change,
    if_match: Container[int] | None,
    operation: Operation | None,
) -> MessageWithImages:
    """Read, change, write; again when it changed meanwhile, for versions, counts and answer follow it."""
    for _ in range(TRIES):
        found = await get_message(user=user, message_id=message_id)
        changes = await change(found.message)
        try:
            return await _write_changes(user, found, changes, if_match, operation)
        except Moved:
            continue
    raise Conflict


async def _write_changes(
    user: User,
    found: MessageWithImages,
    changes: dict[str, Any],
    if_match: Container[int] | None,
    operation: Operation | None,
) -> MessageWithImages:
    message, images = found.message, found.images
    async with changes_of(user, operation) as work:
        _expect_unmoved(work, user, message, if_match)
        if "image_ids" in changes:
            images = _change_images(work, user, message, changes["image_ids"])
        Message.objects.keep_revision(work, message)
        Message.objects.update_if_different(work, message, changes)
        Message.objects.update(work, message, updated_at=now())
        Message.objects.add(work, message, revision=1)
        work.emit(MessageUpdated(session_id=message.session_id, message_id=message.id), message, *images)
    if message.image_ids != [image.id for image in images]:  # a repeated request, answered as the first time
        images = (await Image.objects.aget_many(user.id, message.image_ids)).objects
    return MessageWithImages(message, images)


def _expect_unmoved(work: UnitOfWork, user: User, message: Message, if_match: Container[int] | None) -> None:
    """The message is there, as it was read; and that is how `if_match` wants it."""
    work.expect_exists(session_handle(user, message.session_id), NotFound(NO_MESSAGE))
    work.expect_exists(message, NotFound(NO_MESSAGE))
    if if_match is not None and message.revision not in if_match:
        # It exists, so this is refused; but by the commit, where a repeated request is recognised first.
        work.expect_absent(message.key, PreconditionFailed())
    work.expect_equal(message, "revision", Moved())


def _expect_in_session(work: UnitOfWork, message: Message, session_id: str) -> None:
    placed = Message(message.owner_id, message.id, session_id=session_id)
    work.expect_equal(placed, "session_id", NotFound(NO_MESSAGE))


def _change_images(work: UnitOfWork, user: User, message: Message, image_ids: list[str]) -> list[Image]:
    images = _image_handles(user, image_ids)
    before = set(message.image_ids)
    _count_references(work, [image for image in images if image.id not in before], by=1)
    _count_references(work, _image_handles(user, before - set(image_ids)), by=-1)
    for image in images:
        work.refresh(image)
    return images


async def _delete(
    user: User, found: MessageWithImages, if_match: Container[int] | None, operation: Operation | None
) -> None:
    message = found.message
    session = session_handle(user, message.session_id)
    async with changes_of(user, operation) as work:
        _expect_unmoved(work, user, message, if_match)
        Message.objects.delete(work, message)
        Session.objects.add(work, session, message_count=-1)
        Session.objects.update(work, session, updated_at=now())
        _count_references(work, _image_handles(user, message.image_ids), by=-1)
        work.emit(MessageDeleted(session_id=session.id, message_id=message.id))
        work.emit(SessionUpdated(session_id=session.id), session)


def _count_references(work: UnitOfWork, images: list[Image], by: int) -> None:
    for image in images:
        work.expect_exists(image, ImageGone())
        Image.objects.add(work, image, ref_count=by)


def _message_handle(user: User, message_id: str) -> Message:
    try:
        return Message.handle(user.id, message_id)
    except DoesNotExist as error:
        raise NotFound(NO_MESSAGE) from error


def _image_handles(user: User, image_ids: Iterable[str]) -> list[Image]:
    try:
        return [Image.handle(user.id, image_id) for image_id in image_ids]
    except DoesNotExist as error:
        raise NotFound(NO_IMAGE) from error
