"""`/api/sessions` and `/api/messages`, and archives of them."""

import re
from collections.abc import AsyncIterator
from typing import BinaryIO

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from accounts.viewsets import SignedInViewSet
from chats.archives.reader import open_archive
from chats.archives.writer import export_account, export_session
from chats.calls import (
    ARCHIVES,
    HITS_A_PAGE,
    MESSAGES,
    MESSAGES_A_PAGE,
    REVISIONS_A_PAGE,
    SEARCH,
    SESSION_MESSAGES,
    SESSIONS,
    SESSIONS_A_PAGE,
    USAGE,
    ZIP,
)
from chats.managers import REVISIONS
from chats.models import TRASHED, Message
from chats.search.parameters import narrowing_of, one_of, range_of, text_of
from chats.search.query import parse
from chats.serializers import (
    ROLES,
    AttachImageSerializer,
    CreateMessageSerializer,
    CreateSessionSerializer,
    DeleteSessionSerializer,
    DuplicateSessionSerializer,
    RestoreRevisionSerializer,
    SessionFilterSerializer,
    UpdateMessageSerializer,
    UpdateSessionSerializer,
    model_fields,
    render_found,
    render_message,
    render_messages,
    render_revision,
    render_session,
    render_usage,
)
from chats.services import archives, copies, messages, sessions, trash
from chats.services.search import MESSAGE, NEWEST, RELEVANCE, SESSION, Search, search
from chats.services.usage import get_usage
from media_store.serializers import render_image
from nanobanana.errors import UnsupportedMedia, ValidationFailed
from nanobanana.forms import FORM, read_form
from nanobanana.pagination import choice_of, listing, message_window_of, window_of
from nanobanana.pools import Places
from nanobanana.redisdb.fields import now
from nanobanana.serializers import timestamp, validate
from nanobanana.throttling import UPLOADS

# Controls, what turns text round, and what a file system gives a meaning.
NO_FILENAME = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069/\\:*?"<>|]+')
LONGEST_FILENAME = 80  # characters

_exports, _imports = Places(16, of_one=2), Places(2, of_one=1)


class SessionViewSet(SignedInViewSet):
    calls = SESSIONS

    async def list(self) -> HttpResponse:
        window = window_of(self.request.GET, limit=SESSIONS_A_PAGE, descending=True)
        fields = validate(SessionFilterSerializer, self.request.GET.dict())
        found = await sessions.list_sessions(user=self.user, window=window, **fields)
        page = listing(found, window, index=sessions.list_index(fields["archived"]))
        rendered = [render_session(session) for session in page.objects]
        return self.answer({"sessions": rendered, "pagination": page.pagination})

    async def create(self) -> HttpResponse:
        fields = self.body(CreateSessionSerializer)
        session = await sessions.create_session(user=self.user, operation=self.operation(), **fields)
        return self.answer({"message": "Session created.", "session": render_session(session)}, 201)

    async def retrieve(self, session_id: str) -> HttpResponse:
        session = await sessions.get_session(user=self.user, session_id=session_id)
        return self.answer({"session": render_session(session)})

    async def update(self, session_id: str) -> HttpResponse:
        fields = self.body(UpdateSessionSerializer)
        session = await sessions.update_session(
            user=self.user, session_id=session_id, fields=fields, operation=self.operation()
        )
        return self.answer({"message": "Session updated.", "session": render_session(session)})

    async def destroy(self, session_id: str) -> HttpResponse:
        if validate(DeleteSessionSerializer, self.request.GET.dict())["permanent"]:
            await trash.delete_for_good(user=self.user, session_id=session_id, operation=self.operation())
            return self.answer({"message": "Session deleted for good."})
        await trash.delete_session(user=self.user, session_id=session_id, operation=self.operation())
        return self.answer({"message": "Session deleted."})

    async def list_trash(self) -> HttpResponse:
        window = window_of(self.request.GET, limit=SESSIONS_A_PAGE, descending=True)
        page = listing(await trash.list_trash(user=self.user, window=window), window, index=TRASHED)
        rendered = [render_session(session) for session in page.objects]
        return self.answer({"sessions": rendered, "pagination": page.pagination})

    async def restore(self, session_id: str) -> HttpResponse:
        session = await trash.restore_session(
            user=self.user, session_id=session_id, operation=self.operation()
        )
        return self.answer({"message": "Session restored.", "session": render_session(session)})

    async def duplicate(self, session_id: str) -> HttpResponse:
        fields = self.body(DuplicateSessionSerializer)
        session = await copies.duplicate_session(
            user=self.user, session_id=session_id, operation=self.operation(), **fields
        )
        return self.answer({"message": "Session duplicated.", "session": render_session(session)}, 201)

    async def stats(self, session_id: str) -> HttpResponse:
        stats = await sessions.get_stats(user=self.user, session_id=session_id)
        content = {
            "messageCount": stats.message_count,
            "totalMessages": stats.message_count,
            "imageCount": stats.image_count,
            "createdAt": timestamp(stats.created_at),
            "updatedAt": timestamp(stats.updated_at),
        }
        return self.answer({"stats": content})


class SessionMessageViewSet(SignedInViewSet):
    calls = SESSION_MESSAGES

    async def list(self, session_id: str) -> HttpResponse:
        window, turned = message_window_of(self.request.GET, limit=MESSAGES_A_PAGE)
        branch = choice_of(self.request.GET, "branch", ("all", "active"))
        found = await messages.list_messages(
            user=self.user, session_id=session_id, window=window, only_active=branch == "active"
        )
        page = listing(found, window, index=Message.indexes[0], turned=turned)
        rendered = render_messages(page.objects, found.related)
        return self.answer({"messages": rendered, "pagination": page.pagination})

    async def create(self, session_id: str) -> HttpResponse:
        fields = model_fields(self.body(CreateMessageSerializer))
        created = await messages.create_message(
            user=self.user, session_id=session_id, operation=self.operation(), **fields
        )
        message = render_message(created.message, created.images)
        content = {"message": "Message created.", "messageData": message}
        return self.answer(content, 201, revision=created.message.revision)


class MessageViewSet(SignedInViewSet):
    calls = MESSAGES

    async def retrieve(self, message_id: str) -> HttpResponse:
        found = await messages.get_message(user=self.user, message_id=message_id)
        content = {"message": render_message(found.message, found.images)}
        return self.answer(content, revision=found.message.revision)

    async def update(self, message_id: str) -> HttpResponse:
        changes = model_fields(self.body(UpdateMessageSerializer))
        changed = await messages.update_message(
            user=self.user,
            message_id=message_id,
            changes=changes,
            if_match=self.if_match(),
            operation=self.operation(),
        )
        return self._changed("Message updated.", changed)

    async def destroy(self, message_id: str) -> HttpResponse:
        await messages.delete_message(
            user=self.user, message_id=message_id, if_match=self.if_match(), operation=self.operation()
        )
        return self.answer({"message": "Message deleted."})

    async def list_images(self, message_id: str) -> HttpResponse:
        found = await messages.get_message(user=self.user, message_id=message_id)
        return self.answer({"images": [render_image(image) for image in found.images]})

    async def attach_image(self, message_id: str) -> HttpResponse:
        image_id = self.body(AttachImageSerializer)["imageId"]
        changed = await messages.attach_image(
            user=self.user,
            message_id=message_id,
            image_id=image_id,
            if_match=self.if_match(),
            operation=self.operation(),
        )
        return self._changed("Image added to the message.", changed)

    async def detach_image(self, message_id: str, image_id: str) -> HttpResponse:
        changed = await messages.detach_image(
            user=self.user,
            message_id=message_id,
            image_id=image_id,
            if_match=self.if_match(),
            operation=self.operation(),
        )
        return self._changed("Image taken out of the message.", changed)

    async def list_revisions(self, message_id: str) -> HttpResponse:
        window = window_of(self.request.GET, limit=REVISIONS_A_PAGE, descending=True)
        found = await messages.list_revisions(user=self.user, message_id=message_id, window=window)
        page = listing(found, window, index=REVISIONS)
        rendered = [render_revision(revision) for revision in page.objects]
        return self.answer({"revisions": rendered, "pagination": page.pagination})

    async def restore(self, message_id: str) -> HttpResponse:
        changed = await messages.restore_revision(
            user=self.user,
            message_id=message_id,
            if_match=self.if_match(),
            operation=self.operation(),
            **self.body(RestoreRevisionSerializer),
        )
        return self._changed("Revision restored.", changed)

    async def list_branches(self, message_id: str) -> HttpResponse:
        found = await messages.list_branches(user=self.user, message_id=message_id)
        rendered = render_messages(found.siblings.objects, found.siblings.related)
        return self.answer({"branches": rendered, "activeId": found.active_id})

    def _changed(self, sentence: str, changed: messages.MessageWithImages) -> HttpResponse:
        content = {"message": sentence, "messageData": render_message(changed.message, changed.images)}
        return self.answer(content, revision=changed.message.revision)


class SearchViewSet(SignedInViewSet):
    calls = SEARCH

    async def list(self) -> HttpResponse:
        query = self.request.GET
        window = window_of(query, limit=HITS_A_PAGE, descending=True)
        kind = one_of(query, "type", (MESSAGE, SESSION))
        wanted = Search(
            query=parse(text_of(query)),
            limit=window.limit,
            kinds=(kind,) if kind else (MESSAGE, SESSION),
            narrowing=narrowing_of(query, ROLES),
            within=range_of(query),
            sort=choice_of(query, "sort", (NEWEST, RELEVANCE)),
            behind=window.behind,
        )
        return self.answer(render_found(await search(user=self.user, search=wanted), wanted))


class UsageViewSet(SignedInViewSet):
    calls = USAGE

    async def retrieve(self) -> HttpResponse:
        return self.answer({"usage": render_usage(await get_usage(user=self.user))})


class ArchiveViewSet(SignedInViewSet):
    """Chats as files. Each of these costs as much as many other requests."""

    calls = ARCHIVES
    budgets = dict.fromkeys(ARCHIVES, UPLOADS)

    async def export_session(self, session_id: str) -> HttpResponseBase:
        session, chunks = await export_session(user=self.user, session_id=session_id)
        return await self._download(session.title, chunks)

    async def export_account(self) -> HttpResponseBase:
        chunks = await export_account(user=self.user)
        return await self._download(f"nanobanana {now():%Y-%m-%d}", chunks)

    async def import_sessions(self) -> HttpResponse:
        file = await self._form("archive")
        with _imports.one(self.user.id):
            archive = await open_archive(file)
            sessions = await archives.import_archive(
                user=self.user, archive=archive, operation=self.operation()
            )
        rendered = [render_session(session) for session in sessions]
        return self.answer({"message": "Sessions imported.", "sessions": rendered}, 201)

    async def _download(self, title: str, chunks: AsyncIterator[bytes]) -> HttpResponseBase:
        headers = {
            "Content-Type": ZIP,
            "Content-Disposition": content_disposition_header(True, filename_of(title)) or "",
        }
        if self.request.method == "HEAD":
            return HttpResponse(headers=headers)
        content = _in_a_place(self.user.id, chunks)
        first = await anext(content)  # what goes wrong at once has an answer of its own
        return StreamingHttpResponse(_joined(first, content), headers=headers)

    async def _form(self, name: str) -> BinaryIO:
        """The one file of the field `name` of a multipart body."""
        if self.request.content_type != FORM:
            raise UnsupportedMedia("Send the archive as multipart/form-data.")
        _, files = await read_form(self.request)
        found = files.getlist(name)
        if len(found) != 1:
            raise ValidationFailed(details={name: ["Send one file in this field."]})
        return found[0].file


def filename_of(title: str) -> str:
    """A name for a file that is safe everywhere."""
    return (NO_FILENAME.sub("-", title)[:LONGEST_FILENAME].strip(" .-") or "session") + ".zip"


async def _in_a_place(user_id: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    with _exports.one(user_id):
        async for chunk in chunks:
            yield chunk


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
