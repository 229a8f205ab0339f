"""Backups: one zip file of all accounts, with or without the bytes of pictures, that can be verified.

    users/<id>.jsonl    {user, email, takenAt}, then a line [type, name, ends, parts] for each key, {keys}
    media/<key>         the bytes of an object of the storage
    manifest.json       {format, takenAt, users, keys, media, sha256}, which is written last

`redisdb/snapshots.py` says what is taken of an account, and what is derived when it is put back. The digest
is over name and digest of every entry, in their order. Passwords are in it as hashes, devices with what their
tokens name.
"""

import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, BinaryIO, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.snapshots import Record
from nanobanana.serializers import timestamp

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1024 * 1024
_DAMAGES = (BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


class UnusableBackup(Exception):
    """The file is no whole backup, or none of a format that is known; a sentence says why."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself; `media` is None when it has no bytes of pictures."""

    format: int
    takenAt: str
    users: int
    keys: int
    media: int | None
    sha256: str


class BackupWriter:
    """Writes a backup; one that was left without `finish` nobody takes for whole."""

    def __init__(self, file: BinaryIO, *, has_media: bool) -> None:
        self._zip = ZipFile(file, "w", ZIP_DEFLATED, compresslevel=6)
        self._digest = hashlib.sha256()
        self._taken_at = str(timestamp(now()))
        self.users = self.keys = 0
        self.media: int | None = 0 if has_media else None

    async def add_user(self, user_id: str, email: str, records: AsyncIterator[Record]) -> None:
        with self._entry(f"users/{user_id}.jsonl", ZIP_DEFLATED) as entry:
            entry.write_line({"user": user_id, "email": email, "takenAt": timestamp(now())})
            count = 0
            async for record in records:
                entry.write_line([record.type, record.name, record.ends, record.parts])
                count += 1
            entry.write_line({"keys": count})
        self.users, self.keys = self.users + 1, self.keys + count

    def add_object(self, key: str, content: bytes) -> None:
        """Bytes of a picture are compressed already."""
        with self._entry(f"media/{key}", ZIP_STORED) as entry:
            entry.write(content)
        self.media = (self.media or 0) + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def finish(self) -> Manifest:
        counts = (self.users, self.keys, self.media)
        manifest = Manifest(FORMAT, self._taken_at, *counts, self._digest.hexdigest())
        self._zip.writestr(MANIFEST, json.dumps(asdict(manifest)))
        return manifest

    def _entry(self, name: str, compression: int) -> "_Entry":
        return _Entry(self._zip, name, compression, self._digest)


class _Entry:
    """An entry while it is written, which adds itself to the digest of all in the end."""

    def __init__(self, archive: ZipFile, name: str, compression: int, digest: Any) -> None:
        info = ZipInfo(name, now().timetuple()[:6])
        info.compress_type, info.external_attr = compression, 0o600 << 16
        self._name, self._all, self._digest = name, digest, hashlib.sha256()
        self._file = archive.open(info, "w", force_zip64=True)

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def write_line(self, content: Any) -> None:
        self.write(f"{json.dumps(content)}\n".encode("ascii"))

    def __enter__(self) -> "_Entry":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._all.update(_digest_line(self._name, self._digest.hexdigest()))


@dataclass(frozen=True)
class BackedUpUser:
    id: str
    email: str


class Backup:
    """A backup to read from; every method raises UnusableBackup for what is not as it was written."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._zip = ZipFile(file)
            found = json.loads(self._zip.read(MANIFEST))
            if found.get("format") != FORMAT:
                raise UnusableBackup(f"It has format {found.get('format')!r:.20}; this knows {FORMAT}.")
            self.manifest = Manifest(**found)
        except (KeyError, ValueError, TypeError, AttributeError, *_DAMAGES) as error:
            raise UnusableBackup(f"It is no whole backup ({error}).") from error

    @property
    def entries(self) -> list[ZipInfo]:
        return [info for info in self._zip.infolist() if info.filename != MANIFEST]

    def verify(self) -> Iterator[int]:
        """Read all of it and compare it with what it says of itself; yields bytes as they are read."""
        digest, counts = hashlib.sha256(), Counter[str]()
        for info in self.entries:
            counts[info.filename.partition("/")[0]] += 1
            own = hashlib.sha256()
            for chunk in self._chunks(info):
                own.update(chunk)
                yield len(chunk)
            digest.update(_digest_line(info.filename, own.hexdigest()))
        if digest.hexdigest() != self.manifest.sha256:
            raise UnusableBackup("It is not what was written: its digest is another one.")
        if (counts["users"], counts["media"]) != (self.manifest.users, self.manifest.media or 0):
            raise UnusableBackup("It does not have as many accounts and objects as it says.")

    def users(self) -> list[BackedUpUser]:
        return [self._user_of(info) for info in self.entries if info.filename.startswith("users/")]

    def records(self, user_id: str) -> Iterator[Record]:
        name = _name_of(user_id)
        lines = self._lines(name)
        next(lines)
        for line in lines:
            if isinstance(line, list):
                yield _record_of(name, line)

    def check(self, user_id: str) -> None:
        """Read all records of a user: a digest may be right of what nobody wrote."""
        for _ in self.records(user_id):
            pass

    def media_of(self, user_id: str) -> list[str]:
        """The keys of a user's objects."""
        return self._media.get(user_id, [])

    @cached_property
    def _media(self) -> dict[str, list[str]]:
        by_user: dict[str, list[str]] = defaultdict(list)
        for info in self.entries:
            folder, _, key = info.filename.partition("/")
            if folder == "media":
                by_user[key.partition("/")[0]].append(key)
        return by_user

    def object(self, key: str) -> bytes:
        return b"".join(self._chunks(self._zip.getinfo(f"media/{key}")))

    def _user_of(self, info: ZipInfo) -> BackedUpUser:
        head: Any = next(self._lines(info.filename), None)
        try:
            user = BackedUpUser(head["user"], head["email"])
        except (TypeError, KeyError) as error:
            raise UnusableBackup(f"{info.filename} is of no user.") from error
        if not is_id(user.id) or not isinstance(user.email, str) or info.filename != _name_of(user.id):
            raise UnusableBackup(f"{info.filename} is of no user.")
        return user

    def _lines(self, name: str) -> Iterator[Any]:
        try:
            with self._zip.open(name) as lines:
                yield from map(json.loads, lines)
        except (*_DAMAGES, ValueError) as error:
            raise UnusableBackup(f"{name} cannot be read: {error}") from error

    def _chunks(self, info: ZipInfo) -> Iterator[bytes]:
        try:
            with self._zip.open(info) as entry:
                while chunk := entry.read(CHUNK):
                    yield chunk
        except _DAMAGES as error:
            raise UnusableBackup(f"{info.filename} is damaged: {error}") from error


def _name_of(user_id: str) -> str:
    return f"users/{user_id}.jsonl"


def _record_of(name: str, line: list[Any]) -> Record:
    """A record as it was read, if it can be written. Raises UnusableBackup."""
    try:
        record = Record(*line)
        record.check()
    except (TypeError, ValueError) as error:
        raise UnusableBackup(f"{name} has a record that nobody wrote: {error}") from error
    return record


def _digest_line(name: str, digest: str) -> bytes:
    return f"{name}\0{digest}\n".encode("utf-8", "surrogateescape")
