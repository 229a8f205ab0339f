"""`manage.py import_user`: give a user what is in an archive."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from accounts.management.people import account_named
from chats.archives.reader import open_archive
from chats.archives.zip_file import Limits
from chats.services.archives import import_archive
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.management.files import opened
from nanobanana.progress import progress

# What an operator brings in may be larger: it is shown in groups of sessions then, each of them whole.
GENEROUS = Limits(
    entries=1_000_000, table=256 * 1024 * 1024, sessions=100_000, messages=1_000_000, unpacked=2**40
)


class Command(AsyncCommand):
    help = "Give a user, who must exist, the sessions of an archive; what the user has already stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="an archive of an export")
        user = parser.add_mutually_exclusive_group(required=True)
        user.add_argument("--email", dest="user", help="whose the sessions will be")
        user.add_argument("--id", dest="user", help="the same by id")

    async def run(self, *, file: Path, user: str, **options: Any) -> None:
        account = await account_named(user)
        with opened(file) as content:
            archive = await open_archive(content, GENEROUS)
            with progress("Importing", archive.size) as advance:
                sessions = await import_archive(user=account, archive=archive, advance=advance)
        figures = {"user": account.id, "sessions": [session.id for session in sessions]}
        self.answer(figures, f"Imported {count(len(sessions), 'session')} for {account.email}.")
