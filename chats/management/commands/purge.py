"""`manage.py purge`: remove for good what has been in the trash too long."""

from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from accounts.management.people import account_named
from chats.models import Session
from chats.services.purge import due_sessions, purge_user, users_with_trash
from nanobanana.management.async_command import AsyncCommand, count, whole_number
from nanobanana.progress import progress
from nanobanana.redisdb.fields import now

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
    help = "Remove for good what has been in the trash too long, as the server does every minute."

    def add_arguments(self, parser: ArgumentParser) -> None:
        days = settings.TRASH_DAYS
        parser.add_argument(
            "--days", type=int, default=days, help="in the trash, at least; default: %(default)s"
        )
        parser.add_argument("--user", metavar="ID|EMAIL", help="of this user alone (default: of everybody)")
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would go")

    async def run(self, *, days: int, user: str | None, dry_run: bool, **options: Any) -> None:
        whole_number("--days", days, least=0, most=36_500)
        user_ids = (
            [user_id async for user_id in users_with_trash()]
            if user is None
            else [(await account_named(user)).id]
        )
        before, purged = now() - timedelta(days=days), Purged()
        with progress("Purging", len(user_ids)) as advance:
            for user_id in user_ids:
                purged.add(await sessions_of(user_id, before, dry_run))
                advance(1)
        self.answer({**asdict(purged), "dryRun": dry_run}, as_sentence(purged, dry_run))


async def sessions_of(user_id: str, before: datetime, dry_run: bool) -> list[Session]:
    """The sessions of a user that are removed, or would be."""
    if dry_run:
        return await due_sessions(user_id=user_id, before=before, limit=MOST)
    return [session async for session in purge_user(user_id=user_id, before=before)]


def as_sentence(purged: Purged, dry_run: bool) -> str:
    done = "would be removed" if dry_run else "are removed"
    sessions, messages = count(purged.sessions, "session"), count(purged.messages, "message")
    return f"{sessions} with {messages} of {count(purged.users, 'user')} {done} for good."
