"""Notes of who has something to be done later, outside of the owners' slots: nobody else is looked at."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from redis.exceptions import ResponseError

from nanobanana.redisdb.checking import Findings
from nanobanana.redisdb.client import ask, get_client
from nanobanana.redisdb.fields import milliseconds
from nanobanana.redisdb.ids import EPOCH, MILLISECOND
from nanobanana.redisdb.keys import global_key
from nanobanana.redisdb.scripts import Script

OWNERS_AT_ONCE = 100
ALL_NOTES: list["Notes"] = []

logger = logging.getLogger(__name__)
_scripts = Path(__file__).parent / "scripts"
_note = Script(_scripts / "note.lua")
_settle = Script(_scripts / "settle_note.lua")


class Notes:
    """One kind of work: owner id → from when on there is some."""

    def __init__(self, name: str) -> None:
        self.key = global_key(name)
        ALL_NOTES.append(self)

    async def note(self, owner_id: str, due: datetime) -> None:
        """Note, before it is so, that there will be something to do from `due` on."""
        await _note([self.key], [owner_id, milliseconds(due)])

    async def note_of(self, owner_id: str) -> datetime | None:
        """From when on the owner is noted to have something to be done."""
        score = await ask("ZSCORE", self.key, owner_id)
        return None if score is None else EPOCH + int(float(score)) * MILLISECOND

    async def check(
        self,
        findings: Findings,
        owner_id: str,
        due_of: Callable[[str], Awaitable[datetime | None]],
        *,
        repair: bool,
        slack: timedelta = timedelta(0),
    ) -> None:
        """Who has something to be done is noted, for no later than it is due and some slack."""
        try:
            await self._check(findings, owner_id, due_of, repair, slack)
        except (ResponseError, ValueError, OverflowError) as error:
            sentence = f"{self.key}, or what {owner_id} has that is noted there, cannot be read: {error}"
            findings.found(sentence, is_mended=False)

    async def _check(
        self,
        findings: Findings,
        owner_id: str,
        due_of: Callable[[str], Awaitable[datetime | None]],
        repair: bool,
        slack: timedelta,
    ) -> None:
        due = await due_of(owner_id)
        if due is None or await self._is_noted(owner_id, due + slack):
            return
        due = await due_of(owner_id)  # it may have been done meanwhile
        if due is None or await self._is_noted(owner_id, due + slack):
            return
        if repair:
            await self.note(owner_id, due)
        sentence = f"{owner_id} has something to do from {due} on, and {self.key} does not say so."
        findings.found(sentence, is_mended=repair)

    async def _is_noted(self, owner_id: str, due: datetime) -> bool:
        note = await self.note_of(owner_id)
        return note is not None and note <= due

    async def owners(self) -> AsyncIterator[str]:
        """The ids of all who have something to be done now or later, for commands."""
        async for owner_id, _ in get_client().zscan_iter(self.key, count=OWNERS_AT_ONCE):
            yield owner_id

    async def work_off(
        self, attend: Callable[[str], Awaitable[datetime | None]], *, at: datetime, later: datetime
    ) -> None:
        """Have `attend` do what is due `at` this moment, owner by owner, and say when there will be more.

        Who has nothing is looked at once more, `later`, before the note goes. One that fails does not stop
        the others.
        """
        passed_over = 0
        while notes := await self._due(at, offset=passed_over):
            for owner_id, note in notes:
                try:
                    due = await attend(owner_id)
                    settled = await self._settle(owner_id, note, due, later)
                except Exception:
                    logger.exception("%s: what %s has cannot be done now", self.key, owner_id)
                    passed_over += 1
                else:
                    passed_over += not settled or (due is not None and due <= at)

    async def _due(self, until: datetime, *, offset: int) -> list[tuple[str, str]]:
        """[(owner id, note)] of some who have something to be done by then, the earliest first."""
        window = ("WITHSCORES", "LIMIT", offset, OWNERS_AT_ONCE)
        rows = await ask("ZRANGEBYSCORE", self.key, "-inf", milliseconds(until), *window)
        return list(zip(rows[::2], rows[1::2], strict=True))

    async def _settle(self, owner_id: str, note: str, due: datetime | None, later: datetime) -> bool:
        """Whether the note is still the one that was read, and says now when there will be more."""
        following = "" if due is None else milliseconds(due)
        return await _settle([self.key], [owner_id, note, following, milliseconds(later)]) == 1
