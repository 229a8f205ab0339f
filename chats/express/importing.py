"""Bringing in what the seed's own server has: accounts, sessions, messages, pictures.

What comes has an id here that follows from its id there, so an import can be run again: who and what is here
already stays as it is. Of each user the sessions that are new come together, or none of them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.conf import settings
from redis.exceptions import RedisError

from accounts.models import User
from accounts.services.access import find_account, find_user
from accounts.services.sign_ins import store_account
from chats.express.media import MediaDirectory
from chats.express.records import image_of, message_of, moment_of, password_of, session_of, user_of
from chats.express.source import ExpressSource
from chats.models import HiddenSession, Session, TrashedSession
from chats.services.archives import ImageRecord, MessageRecord, SessionRecord, import_archive
from chats.services.drafts import discard_draft
from nanobanana.errors import APIError, EmailTaken
from nanobanana.progress import Advance

MESSAGES_AT_ONCE = 50
LOOKED_UP_AT_ONCE = 500
OUTAGES = (RedisError, ConnectionError, TimeoutError)


@dataclass
class Report:
    """What came; `bad` are sentences about what did not, or not as it was."""

    users: int = 0
    sessions: int = 0
    messages: int = 0
    images: int = 0
    users_here: int = 0  # already
    sessions_here: int = 0
    images_without_file: int = 0
    bad: list[str] = field(default_factory=list)


async def import_express(
    source: ExpressSource, *, media: Path | None, is_rehearsal: bool, advance: Advance = lambda _: None
) -> Report:
    """Bring everything in; a rehearsal only says what would come. `advance` counts users."""
    report = Report()
    image_ids = await source.image_ids_by_user()
    directory = MediaDirectory(media) if media else None
    for user_id in await source.user_ids():
        bringing = _User(source, report, directory, user_id, image_ids.pop(user_id, []), is_rehearsal)
        try:
            await bringing.bring()
        except OUTAGES:
            raise
        except (
            Exception
        ) as error:  # whatever it is: it is this user's, and others are brought in all the same
            report.bad.append(f"user:{user_id}: not all of it came: {type(error).__name__}: {error}")
        advance(1)
    for user_id, ids in image_ids.items():
        report.bad += [f"image:{each}:meta is of user:{user_id}, who does not exist." for each in ids]
    return report


@dataclass
class _User:
    """One user on the way in."""

    source: ExpressSource
    report: Report
    media: MediaDirectory | None
    user_id: str
    image_ids: list[str]
    is_rehearsal: bool

    async def bring(self) -> None:
        stored = await self.source.user(self.user_id)
        user = user_of(self.user_id, stored, self.report.bad.append)
        if user is None or not await self._is_bringable(user, stored.get("email", "")):
            return
        if await find_account(user.id):
            self.report.users_here += 1
        elif not await self._store(user, password_of(self.user_id, stored, self.report.bad.append)):
            return
        await self._bring_sessions(user)

    async def _is_bringable(self, user: User, written: str) -> bool:
        """Whether the address is the user's, there and here."""
        owner_id = await self.source.owner_of(written)
        if owner_id not in {None, self.user_id} and await self.source.user(str(owner_id)):
            self.report.bad.append(f"user:{self.user_id}: email:{written} leads to {owner_id}.")
            return False
        found = await find_user(user.email)
        if found is not None and found.id != user.id:
            self.report.bad.append(f"user:{self.user_id}: {user.email} is the address of {found.id} here.")
            return False
        return True

    async def _store(self, user: User, encoded: str) -> bool:
        if not self.is_rehearsal:
            try:
                await store_account(user=user, encode=lambda: _already(encoded))
            except EmailTaken as error:
                self.report.bad.append(f"user:{self.user_id}: {error.message}")
                return False
        self.report.users += 1
        return True

    async def _bring_sessions(self, user: User) -> None:
        found = await self._sessions()
        here = await self._ids_here(user, [str(record.new_id) for record in found])
        sessions = [record for record in found if record.new_id not in here]
        images = await self._images({record.id for record in found}, {record.id for record in sessions})
        archive = ExpressArchive(self.source, self.report, sessions, images)
        if self.is_rehearsal:
            await archive.rehearse()
        elif sessions and not await self._import(user, archive):
            return
        self.report.sessions_here += len(here)
        self.report.sessions += len(sessions)
        self.report.messages += archive.messages_read
        self.report.images += len(archive.images) - archive.refused

    async def _import(self, user: User, archive: "ExpressArchive") -> bool:
        try:
            await import_archive(user=user, archive=archive)
        except APIError as error:  # others are brought in all the same
            self.report.bad.append(f"user:{self.user_id}: no sessions came: {error.message}")
            return False
        return True

    async def _sessions(self) -> list[SessionRecord]:
        ids = await self.source.session_ids(self.user_id)
        if ids is None:
            self.report.bad.append(f"user_sessions:{self.user_id} is no sorted set: no sessions come.")
            return []
        stored = zip(ids, await self.source.sessions(ids), strict=True)
        records = [session_of(each, self.user_id, fields, self.report.bad.append) for each, fields in stored]
        return [record for record in records if record]

    async def _ids_here(self, user: User, ids: Sequence[str]) -> set[str]:
        """Those that are sessions here; what an interrupted import left of others is removed."""
        here: set[str] = set()
        for first in range(0, len(ids), LOOKED_UP_AT_ONCE):
            some = ids[first : first + LOOKED_UP_AT_ONCE]
            for manager in (Session.objects, TrashedSession.objects):
                here |= {session.id for session in (await manager.aget_many(user.id, some)).objects}
            left = (await HiddenSession.objects.aget_many(user.id, some)).objects
            for draft in [] if self.is_rehearsal else left:
                await discard_draft(user=user, draft=draft)
        return here

    async def _images(self, session_ids: set[str], new_ids: set[str]) -> list[ImageRecord]:
        """The pictures of the new ones of these sessions whose files are found."""
        found = []
        stored = await self.source.images(self.image_ids)
        for image_id, fields in zip(self.image_ids, stored, strict=True):
            session_id = fields.get("sessionId", "")
            if session_id not in session_ids:
                self.report.bad.append(
                    f"image:{image_id}:meta is of session:{session_id}, which does not come."
                )
            elif session_id in new_ids and (record := image_of(image_id, fields, self.report.bad.append)):
                found += self._with_file(record, fields.get("path", ""))
        return found

    def _with_file(self, record: ImageRecord, address: str) -> list[ImageRecord]:
        path = self.media.find(address) if self.media else None
        if path is None:
            self.report.images_without_file += 1
            self.report.bad.append(f"image:{record.id}:meta: there is no file of {address[:200]!r}.")
        elif path.stat().st_size > settings.MAX_FILE_SIZE:
            self.report.bad.append(f"image:{record.id}:meta: {path} is larger than MAX_FILE_SIZE.")
        else:
            return [replace(record, filename=str(path))]
        return []


class ExpressArchive:
    """Sessions of one user, as chats.services.archives brings them in."""

    def __init__(
        self,
        source: ExpressSource,
        report: Report,
        sessions: Sequence[SessionRecord],
        images: Sequence[ImageRecord],
    ) -> None:
        self._source, self._report = source, report
        self.sessions, self.images = sessions, images
        self.refused = self.messages_read = 0

    async def picture(self, image: ImageRecord) -> bytes:
        return await asyncio.to_thread(Path(image.filename).read_bytes)

    def refuse(self, image: ImageRecord, error: APIError) -> None:
        self.refused += 1
        self._report.bad.append(f"image:{image.id}:meta: {image.filename}: {error.message}")

    async def messages(self, session: SessionRecord) -> AsyncIterator[list[MessageRecord]]:
        """The messages of a session, oldest first, some at a time."""
        known: set[str] = set()
        ids = await self._in_order(session.id)
        for first in range(0, len(ids), MESSAGES_AT_ONCE):
            some = ids[first : first + MESSAGES_AT_ONCE]
            records = []
            for message_id, stored in zip(some, await self._source.messages(some), strict=True):
                record = message_of(message_id, session.id, stored, known, self._report.bad.append)
                if record:
                    records.append(record)
                    known.add(record.id)
            self.messages_read += len(records)
            yield records

    async def rehearse(self) -> None:
        for session in self.sessions:
            async for _ in self.messages(session):
                pass

    async def _in_order(self, session_id: str) -> list[str]:
        """That server's list is in the order of writing, and an edit of a time can differ."""
        ids = await self._source.message_ids(session_id)
        if ids is None:
            place = f"session:{session_id}:messages"
            self._report.bad.append(f"{place} is no list: the session comes without messages.")
            return []
        times: dict[str, float] = {}
        for first in range(0, len(ids), LOOKED_UP_AT_ONCE):
            some = ids[first : first + LOOKED_UP_AT_ONCE]
            for message_id, stored in zip(some, await self._source.messages(some), strict=True):
                moment = moment_of(stored.get("createdAt"))
                times[message_id] = moment.timestamp() if moment else 0
        return sorted(ids, key=times.__getitem__)


async def _already(encoded: str) -> str:
    return encoded
