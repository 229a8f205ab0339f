"""Zip files of strangers: nothing that one says of itself is believed, and no name in it becomes a path.

All of it is synchronous and takes its time: run it in a pool. Nothing but UnreadableArchive and
ArchiveTooLarge is raised.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from django.conf import settings

from chats.archives.format import ENTRY
from chats.services.archives import SHOWN_AT_ONCE
from nanobanana.errors import APIError, ArchiveTooLarge, UnreadableArchive

CHUNK = 64 * 1024
LONGEST_LINE = 1024 * 1024  # bytes; as much as the body of a request
ALWAYS_UNPACKED = 10 * 1024 * 1024
LARGEST_RATIO = 100  # of what is unpacked beyond that to what came
ENCRYPTED = 0x1
NAME_SHOWN = 200  # characters of a name that is refused
FOR_PEOPLE = ".md"  # is not read


@dataclass(frozen=True)
class Limits:
    """How much an archive may have."""

    entries: int = 20_000
    table: int = 4 * 1024 * 1024  # bytes of the table of contents, which is read at once
    sessions: int = SHOWN_AT_ONCE
    messages: int = 100_000  # of one session, whose names are kept while it is read
    unpacked: int = field(default_factory=lambda: 2 * settings.IMPORT_MAX_SIZE)  # bytes


class BoundedZipFile:
    """The entries of an archive, by name."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        size = file.seek(0, 2)
        self._left = min(limits.unpacked, ALWAYS_UNPACKED + LARGEST_RATIO * size)
        with _reading():
            self._zip = ZipFile(_BoundedReads(file, limits.table))
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(infos) > limits.entries:
            raise ArchiveTooLarge(f"An archive may have at most {limits.entries} entries.")
        self._infos: dict[str, ZipInfo] = {}
        for info in infos:
            self._admit(info)
        if sum(info.file_size for info in infos if not info.filename.endswith(FOR_PEOPLE)) > self._left:
            raise _too_large_unpacked()

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._infos)

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def read(self, name: str, most: int) -> bytes:
        """A whole entry of at most so many bytes."""
        content = bytearray()
        for chunk in self._chunks(name):
            content += chunk
            if len(content) > most:
                raise ArchiveTooLarge(details={name: [f"This may have at most {most} bytes."]})
        return bytes(content)

    def lines(self, name: str) -> Iterator[bytes]:
        rest = b""
        for chunk in self._chunks(name):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_LINE:
                raise ArchiveTooLarge(details={name: [f"A line may have at most {LONGEST_LINE} bytes."]})
        if rest:
            yield rest

    def _chunks(self, name: str) -> Iterator[bytes]:
        if name not in self._infos:
            raise UnreadableArchive(details={name: ["This entry is missing."]})
        with _reading(name), self._zip.open(self._infos[name]) as entry:
            while chunk := entry.read(CHUNK):
                self._left -= len(chunk)
                if self._left < 0:
                    raise _too_large_unpacked()
                yield chunk

    def _admit(self, info: ZipInfo) -> None:
        """Take an entry that can be in an archive of ours; so no name leads anywhere."""
        name = info.orig_filename
        problem = _problem_of(info) or ("This entry is there twice." if name in self._infos else None)
        if problem:
            raise UnreadableArchive(details={name[:NAME_SHOWN]: [problem]})
        self._infos[name] = info


class _BoundedReads:
    """A file of which nobody reads more at once than is good for the memory."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise ArchiveTooLarge("The archive has too many entries.")
        data = self._file.read(self._most + 1 if size < 0 else size)
        if len(data) > self._most:
            raise ArchiveTooLarge("The archive has too many entries.")
        return data


def _problem_of(info: ZipInfo) -> str | None:
    if not ENTRY.fullmatch(info.orig_filename):
        return "An archive has no such entry."
    if info.flag_bits & ENCRYPTED:
        return "This entry is encrypted."
    if stat.S_ISLNK(info.external_attr >> 16):
        return "This entry is a link."
    if info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        return "This entry is compressed in a way that is not taken."
    return None


def _too_large_unpacked() -> ArchiveTooLarge:
    return ArchiveTooLarge("The archive is too large when it is unpacked.")


@contextmanager
def _reading(name: str | None = None) -> Iterator[None]:
    """Give what the zip library raises a name of ours; on hostile bytes it raises almost anything."""
    try:
        yield
    except APIError:
        raise
    except Exception as error:
        details = {name: ["This entry is damaged."]} if name else None
        raise UnreadableArchive(details=details) from error
