"""An archive as it is exported: read in pages, written on the fly, in bounded memory.

The manifest comes last, for it lists the pictures that turned out to be missing. An export that cannot be
finished breaks off without a table of contents, so that nobody takes it for a whole one.
"""

from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import IO, TypeVar

from accounts.models import User
from accounts.serializers import render_user
from chats.archives.format import (
    ACCOUNT,
    IMAGES,
    MANIFEST,
    SESSION,
    USER,
    image_entry,
    image_record,
    line_of,
    manifest_record,
    markdown_entry,
    markdown_head,
    markdown_of,
    message_record,
    messages_entry,
    session_entry,
    session_record,
)
from chats.archives.zip_stream import ZipStream, pool
from chats.models import Session
from chats.services import archives
from chats.services.archives import MessagePage
from chats.services.sessions import get_session
from media_store.models import Image
from media_store.services.blobs import storage_key
from media_store.storage import ObjectNotFound, get_storage
from media_store.variants import ORIGINAL
from nanobanana.progress import Advance

IN_MEMORY = 1024 * 1024  # of what is written beside; the rest goes to a temporary file
CHUNK = 256 * 1024

T = TypeVar("T")


def ignore(steps: int) -> None:
    """For whom progress is nothing to show."""


async def export_session(
    *, user: User, session_id: str, advance: Advance = ignore
) -> tuple[Session, AsyncIterator[bytes]]:
    """The session and its archive; NotFound when it is absent, in the trash or somebody else's."""
    session = await get_session(user=user, session_id=session_id)
    return session, _Export(user, advance).of(SESSION, _single(session))


async def export_account(*, user: User, advance: Advance = ignore) -> AsyncIterator[bytes]:
    """The archive of all that a user has: every session, those in the trash too, and every picture."""
    session_ids = await archives.session_ids_of(user=user)
    sessions = archives.sessions_of(user=user, session_ids=session_ids)
    return _Export(user, advance).of(ACCOUNT, sessions)


class _Export:
    """One archive while it is written."""

    def __init__(self, user: User, advance: Advance) -> None:
        self.user, self.advance = user, advance
        self.zip = ZipStream()
        self.session_ids: dict[str, None] = {}  # of what is written, in that order
        self.shown: dict[str, str] = {}  # pictures that messages show → the first session that does
        self.written: set[str] = set()  # pictures
        self.missing: set[str] = set()

    async def of(self, kind: str, sessions: AsyncIterator[Session]) -> AsyncIterator[bytes]:
        if kind == ACCOUNT:
            async for chunk in self.zip.add(USER, _single(line_of(render_user(self.user)))):
                yield chunk
        async for session in sessions:
            self.session_ids[session.id] = None
            async for chunk in self._session(session):
                yield chunk
        async for chunk in self._images():
            yield chunk
        manifest = line_of(manifest_record(kind, self.missing))
        async for chunk in self.zip.add(MANIFEST, _single(manifest)):
            yield chunk
        yield await self.zip.close()

    # ---- a session: its messages as records, beside them for people, then itself
    async def _session(self, session: Session) -> AsyncIterator[bytes]:
        with SpooledTemporaryFile(IN_MEMORY) as markdown:
            messages = _Messages(self, session, markdown)
            async for chunk in self.zip.add(messages_entry(session.id), messages.lines()):
                yield chunk
            async for chunk in self.zip.add(markdown_entry(session.id), _content_of(markdown)):
                yield chunk
        record = line_of(session_record(session, messages.count))
        async for chunk in self.zip.add(session_entry(session.id), _single(record)):
            yield chunk

    # ---- pictures: the bytes, and beside them the records
    async def _images(self) -> AsyncIterator[bytes]:
        with SpooledTemporaryFile(IN_MEMORY) as records:
            async for image in self._every_image():
                await pool.run(records.write, line_of(image_record(image, self._home_of(image))))
                async for chunk in self._bytes_of(image):
                    yield chunk
                self.advance(1)
            async for chunk in self.zip.add(IMAGES, _content_of(records)):
                yield chunk

    async def _every_image(self) -> AsyncIterator[Image]:
        """The pictures of the sessions, then those of others that messages show; each once."""
        for session_id in self.session_ids:
            async for image in archives.images_of_session(user=self.user, session_id=session_id):
                if image.id not in self.written:
                    self.written.add(image.id)
                    yield image
        others = [image_id for image_id in self.shown if image_id not in self.written]
        self.missing.update(others)
        async for image in archives.images_of_ids(user=self.user, image_ids=others):
            self.missing.discard(image.id)
            yield image

    def _home_of(self, image: Image) -> str:
        """The session of the archive that the picture belongs to: its own, or the first that shows it."""
        return image.session_id if image.session_id in self.session_ids else self.shown[image.id]

    async def _bytes_of(self, image: Image) -> AsyncIterator[bytes]:
        """What the storage holds; of a picture that is not there, nothing but a note."""
        content = get_storage().open(storage_key(image, ORIGINAL))
        try:
            first = await anext(content)
        except (ObjectNotFound, StopAsyncIteration):
            self.missing.add(image.id)
            return
        async for chunk in self.zip.add(image_entry(image), _joined(first, content), compressed=False):
            yield chunk


class _Messages:
    """The messages of a session as they are written, once for programs and once for people."""

    def __init__(self, export: _Export, session: Session, markdown: IO[bytes]) -> None:
        self.export, self.session, self.markdown = export, session, markdown
        self.count = 0

    async def lines(self) -> AsyncIterator[bytes]:
        self.markdown.write(markdown_head(self.session).encode())
        async for page in archives.pages_of_messages(user=self.export.user, session=self.session):
            for image_id in page.shown:
                self.export.shown.setdefault(image_id, self.session.id)
            yield await pool.run(self._write, page)
            self.count += len(page.messages)
            self.export.advance(len(page.messages))

    def _write(self, page: MessagePage) -> bytes:
        for message in page.messages:
            self.markdown.write(markdown_of(message, page.images_of(message)).encode())
        return b"".join(
            line_of(message_record(message, keeps_edited_of=message.id in page.versions))
            for message in page.messages
        )


async def _single(part: T) -> AsyncIterator[T]:
    yield part


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _content_of(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while chunk := await pool.run(file.read, CHUNK):
        yield chunk
