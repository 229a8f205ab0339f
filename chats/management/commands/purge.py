"""`manage.py purge`: remove for good what has been in the trash too long."""

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.services.access import find_user
from chats.services.purge import due_sessions, purge_user, users_with_trash
from nanobanana.progress import progress
from nanobanana.redisdb import connection
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import is_id

MOST = 1_000_000  # sessions of a user that are counted


@dataclass
class Purged:
    users: int = 0
    sessions: int = 0
    messages: int = 0


class Command(BaseCommand):
    help = "Remove for good what has been in the trash too long, as the server does every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        days = settings.TRASH_DAYS
        parser.add_argument(
            "--days", type=int, default=days, help="in the trash, at least; default: %(default)s"
        )
        parser.add_argument("--user", metavar="ID|EMAIL", default="", help="of this user alone")
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would go")
        parser.add_argument("--json", action="store_true", help="say it as JSON")

    def handle(self, *, days: int, user: str, dry_run: bool, json: bool, **options: Any) -> None:
        if not 0 <= days <= 36_500:
            raise CommandError(f"--days {days} must be a whole number from 0 to 36500.")
        purged = asyncio.run(self._purge(now() - timedelta(days=days), user, dry_run))
        self.stdout.write(as_json(purged, dry_run) if json else as_sentence(purged, dry_run))

    async def _purge(self, before: datetime, user: str, dry_run: bool) -> Purged:
        try:
            user_ids = [await id_of(user)] if user else [user_id async for user_id in users_with_trash()]
            purged = Purged()
            with progress("Purging", len(user_ids), self.stderr) as advance:
                for user_id in user_ids:
                    await count(purged, purge_of(user_id, before, dry_run))
                    advance(1)
            return purged
        finally:
            await connection.close()


async def purge_of(user_id: str, before: datetime, dry_run: bool) -> AsyncIterator[Any]:
    """The sessions of a user that are removed, or would be."""
    if not dry_run:
        async for session in purge_user(user_id=user_id, before=before):
            yield session
        return
    for session in await due_sessions(user_id=user_id, before=before, limit=MOST):
        yield session


async def count(purged: Purged, sessions: AsyncIterator[Any]) -> None:
    found = [session async for session in sessions]
    purged.users += bool(found)
    purged.sessions += len(found)
    purged.messages += sum(session.message_count for session in found)


async def id_of(user: str) -> str:
    """The id of whoever `user` names, by id or address."""
    try:
        found = await User.objects.aget(user, user) if is_id(user) else await find_user(user)
    except DoesNotExist:
        found = None
    if found is None:
        raise CommandError(f"--user {user}: there is no such user.")
    return found.id


def as_json(purged: Purged, dry_run: bool) -> str:
    return json.dumps({**asdict(purged), "dryRun": dry_run})


def as_sentence(purged: Purged, dry_run: bool) -> str:
    done = "would be removed" if dry_run else "are removed"
    return (
        f"{purged.sessions} sessions with {purged.messages} messages of {purged.users} users {done} for good."
    )
