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
    SESSION_FOLDER,
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
from nanobanana import strict_json
from nanobanana.errors import APIError, ArchiveTooLarge, ByteQuotaExceeded, UnreadableArchive
from nanobanana.exception_handler import sentences_by_field
from nanobanana.serializers import validate

# What is added at once: so little that indexing its words does not hold up the event loop.
STEP = 50  # messages
STEP_SIZE = 24 * 1024  # bytes, unless one message alone has more
IMAGE_ENTRIES = "images/"

Line = tuple[str, bytes]  # where it stands, and what it says


async def open_archive(file: BinaryIO, limits: Limits | None = None) -> "ArchiveReader":
    """The archive in a file that can seek. Raises UnreadableArchive or ArchiveTooLarge, as all of it."""
    return await pool.run(ArchiveReader, file, limits or Limits())


class ArchiveReader:
    """What chats.services.archives brings in. Made in a thread, where everything is read."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._zip = BoundedZipFile(file, limits)
        self._limits = limits
        manifest = _record(ManifestSerializer, (MANIFEST, self._zip.read(MANIFEST, LONGEST_LINE)))
        self._missing = set(manifest["missing"])
        self.size = 0  # in pictures and messages, as the archive says; only good for showing progress
        self.sessions = list(self._read_sessions())
        self.images = list(self._read_images())
        self.size += len(self.images)
        self._image_ids = {image.id for image in self.images}

    async def picture(self, image: ImageRecord) -> bytes:
        return await pool.run(self._zip.read, image.filename, settings.MAX_FILE_SIZE)

    def refuse(self, image: ImageRecord, error: APIError) -> None:
        """One picture that is none, and nothing is brought in; a quota is no fault of the archive."""
        if isinstance(error, ByteQuotaExceeded):
            raise error
        raise UnreadableArchive(details={image.filename: [error.message]}) from error

    async def messages(self, session: SessionRecord) -> AsyncIterator[list[MessageRecord]]:
        """The messages of a session, in the order of the archive, some at a time."""
        steps = self._steps(messages_entry(session.id))
        while step := await pool.run(next, steps, None):
            yield step

    # ---- in a thread
    def _read_sessions(self) -> Iterator[SessionRecord]:
        names = dict.fromkeys(match[1] for match in map(SESSION_FOLDER.fullmatch, self._zip) if match)
        if len(names) > self._limits.sessions:
            raise ArchiveTooLarge(f"An archive may have at most {self._limits.sessions} sessions.")
        for name in names:
            entry = session_entry(name)
            record = _record(SessionRecordSerializer, (entry, self._zip.read(entry, LONGEST_LINE)))
            if record["id"] != name:
                raise _wrong(entry, "id: This must be the name of the folder.")
            if messages_entry(name) not in self._zip:
                raise _wrong(messages_entry(name), "This entry is missing.")
            self.size += record["messageCount"]
            yield SessionRecord(
                name,
                title=record["title"],
                title_origin=record["titleOrigin"],
                created_at=record["createdAt"],
                updated_at=record["updatedAt"],
                pinned_at=record["pinnedAt"],
                archived_at=record["archivedAt"],
                tags=record["tags"],
            )

    def _read_images(self) -> Iterator[ImageRecord]:
        """The pictures that are there: of those that were missing at the export there is at most a record."""
        ids, filenames = set(), {name for name in self._zip if name.startswith(IMAGE_ENTRIES)}
        session_ids = {session.id for session in self.sessions}
        for line in self._lines(IMAGES):
            record = _record(ImageRecordSerializer, line)
            if record["id"] in self._missing:
                continue
            if record["id"] in ids:
                raise _wrong(line[0], "id: This picture is there twice.")
            if record["sessionId"] not in session_ids:
                raise _wrong(line[0], "sessionId: There is no such session in the archive.")
            if record["filename"] not in filenames:
                raise _wrong(line[0], "filename: There is no such entry, or another picture has it.")
            ids.add(record["id"])
            filenames.remove(record["filename"])
            yield ImageRecord(
                record["id"],
                session_id=record["sessionId"],
                type=record["type"],
                created_at=record["createdAt"],
                filename=record["filename"],
            )
        if filenames:
            raise _wrong(min(filenames), f"This entry has no record in {IMAGES}.")

    def _steps(self, entry: str) -> Iterator[list[MessageRecord]]:
        """The messages in parts that are good for one commit."""
        ids: set[str] = set()
        step: list[MessageRecord] = []
        size = 0
        for line in self._lines(entry):
            if step and (len(step) == STEP or size + len(line[1]) > STEP_SIZE):
                yield step
                step, size = [], 0
            step.append(self._message(line, ids))
            size += len(line[1])
        if step:
            yield step

    def _message(self, line: Line, ids: set[str]) -> MessageRecord:
        """`ids` are of the messages before it, in its session."""
        record = _record(MessageRecordSerializer, line)
        image_ids = [each for each in dict.fromkeys(record["imageIds"]) if each not in self._missing]
        if record["id"] in ids:
            raise _wrong(line[0], "id: This message is there twice.")
        if not self._image_ids.issuperset(image_ids):
            raise _wrong(line[0], "imageIds: There is no such picture in the archive.")
        if record["editedOf"] is not None and record["editedOf"] not in ids:
            raise _wrong(line[0], "editedOf: There is no such message before this one in the session.")
        ids.add(record["id"])
        if len(ids) > self._limits.messages:
            raise ArchiveTooLarge(f"A session may have at most {self._limits.messages} messages.")
        return MessageRecord(
            record["id"],
            role=record["role"],
            text=record["text"],
            params=record["params"],
            image_ids=image_ids,
            edited_of=record["editedOf"],
            created_at=record["createdAt"],
            updated_at=record["updatedAt"],
        )

    def _lines(self, entry: str) -> Iterator[Line]:
        for number, line in enumerate(self._zip.lines(entry), start=1):
            yield f"{entry}, line {number}", line


def _record(serializer_class: type[serializers.Serializer], line: Line) -> dict[str, Any]:
    """What a line says, as the serializer's fields."""
    place, content = line
    try:
        return validate(serializer_class, strict_json.loads(content))
    except ValueError as error:
        raise _wrong(place, f"This is no JSON: {error}.") from error
    except serializers.ValidationError as error:
        problems = sentences_by_field(error.detail)
        sentences = [f"{name}: {each}" for name, several in problems.items() for each in several]
        raise _wrong(place, *sentences) from error


def _wrong(place: str, *sentences: str) -> UnreadableArchive:
    return UnreadableArchive(details={place: list(sentences)})
