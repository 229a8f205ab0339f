"""`manage.py purge`: remove for good what has been in the trash too long."""

import json
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from accounts.models import User
from accounts.services.access import find_user
from chats.models import Session
from chats.services.purge import due_sessions, purge_user, users_with_trash
from nanobanana.management.async_command import AsyncCommand
from nanobanana.progress import progress
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import is_id

MOST = 1_000_000  # sessions of a user that a dry run counts


@dataclass
class Purged:
    users: int = 0
    sessions: int = 0
    messages: int = 0

    def add(self, sessions: list[Session]) -> None:
        self.users += bool(sessions)
        self.sessions += len(sessions)
        self.messages += sum(session.message_count for session in sessions)


class Command(AsyncCommand):
    help = "Remove for good what has been in the trash too long, as the server does every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        days = settings.TRASH_DAYS
        parser.add_argument(
            "--days", type=int, default=days, help="in the trash, at least; default: %(default)s"
        )
        parser.add_argument("--user", metavar="ID|EMAIL", help="of this user alone (default: of everybody)")
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would go")
        parser.add_argument("--json", action="store_true", help="answer as JSON")

    async def run(self, *, days: int, user: str | None, dry_run: bool, json: bool, **options: Any) -> None:
        if not 0 <= days <= 36_500:
            raise CommandError(f"--days {days} must be a whole number from 0 to 36500.")
        user_ids = [await id_of(user)] if user else [user_id async for user_id in users_with_trash()]
        before, purged = now() - timedelta(days=days), Purged()
        with progress("Purging", len(user_ids), self.stderr) as advance:
            for user_id in user_ids:
                purged.add(await sessions_of(user_id, before, dry_run))
                advance(1)
        self.stdout.write(as_json(purged, dry_run) if json else as_sentence(purged, dry_run))


async def sessions_of(user_id: str, before: datetime, dry_run: bool) -> list[Session]:
    """The sessions of a user that are removed, or would be."""
    if dry_run:
        return await due_sessions(user_id=user_id, before=before, limit=MOST)
    return [session async for session in purge_user(user_id=user_id, before=before)]


async def id_of(name: str) -> str:
    """The id of the user of this id or e-mail address."""
    try:
        user = await User.objects.aget(name, name) if is_id(name) else await find_user(name)
    except DoesNotExist:
        user = None
    if user is None:
        raise CommandError(f"There is no user {name}.")
    return user.id


def as_json(purged: Purged, dry_run: bool) -> str:
    return json.dumps({**asdict(purged), "dryRun": dry_run})


def as_sentence(purged: Purged, dry_run: bool) -> str:
    done = "would be removed" if dry_run else "are removed"
    return (
        f"{purged.sessions} sessions with {purged.messages} messages of {purged.users} users {done} for good."
    )
