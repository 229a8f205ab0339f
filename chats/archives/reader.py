"""An archive as it is imported: every record is held to the rules of the call that makes such an object.

What is wrong is told with its place: `{"sessions/<id>/messages.jsonl, line 3": ["text: …"]}`.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO

from django.conf import settings
from rest_framework import serializers

from chats.archives.format import (
    IMAGES,
    MANIFEST,
    SESSION_ENTRY,
    ImageRecordSerializer,
    ManifestSerializer,
    MessageRecordSerializer,
    SessionRecordSerializer,
    messages_entry,
    session_entry,
)
from chats.archives.zip_file import LONGEST_LINE, BoundedZipFile, Limits
from chats.archives.zip_stream import pool
from chats.services.archives import ImageRecord, MessageRecord, SessionRecord
from chats.services.drafts import DRAFT_STEP
from nanobanana import strict_json
from nanobanana.errors import ArchiveTooLarge, UnreadableArchive
from nanobanana.exception_handler import sentences_by_field
from nanobanana.serializers import validate

STEP = 256 * 1024  # bytes of messages that are added at once, unless one of them alone has more
IMAGE_ENTRIES = "images/"

Line = tuple[str, bytes]  # where it stands, and what it says


async def open_archive(file: BinaryIO, limits: Limits | None = None) -> "ArchiveReader":
    """The archive in a file that can seek. Raises UnreadableArchive and ArchiveTooLarge, as its methods do."""
    return await pool.run(ArchiveReader, file, limits or Limits())


class ArchiveReader:
    """The archive for chats.services.archives; only the methods that are coroutines may be called outside of
    a thread."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._zip = BoundedZipFile(file, limits)
        self._limits = limits
        manifest = _record(ManifestSerializer, (MANIFEST, self._zip.read(MANIFEST, LONGEST_LINE)))
        self._missing = set(manifest["missing"])
        self.sessions = list(self._read_sessions())
        self.images = list(self._read_images())
        self._image_ids = {image.id for image in self.images}

    async def picture(self, image: ImageRecord) -> bytes:
        return await pool.run(self._zip.read, image.filename, settings.MAX_FILE_SIZE)

    async def messages(self, session: SessionRecord) -> AsyncIterator[list[MessageRecord]]:
        """The messages of a session, in the order of the archive, some at a time."""
        steps = self._steps(messages_entry(session.id))
        while step := await pool.run(next, steps, None):
            yield step

    # ---- in a thread
    def _read_sessions(self) -> Iterator[SessionRecord]:
        names = [match[1] for match in map(SESSION_ENTRY.fullmatch, self._zip.names) if match]
        if len(names) > self._limits.sessions:
            raise ArchiveTooLarge(f"An archive may have at most {self._limits.sessions} sessions.")
        for name in names:
            entry = session_entry(name)
            record = _record(SessionRecordSerializer, (entry, self._zip.read(entry, LONGEST_LINE)))
            if record["id"] != name:
                raise _wrong(entry, "id: This must be the name of the folder.")
            if messages_entry(name) not in self._zip.names:
                raise _wrong(messages_entry(name), "This entry is missing.")
            yield SessionRecord(
                name, record["title"], record["titleOrigin"], record["createdAt"], record["updatedAt"]
            )

    def _read_images(self) -> Iterator[ImageRecord]:
        ...
