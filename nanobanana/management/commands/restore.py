"""`manage.py restore`: put accounts of a backup back."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.services.access import normalized_email
from nanobanana.backups import BackedUpUser, Backup, UnusableBackup
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.management.commands.backup import sentence, verify
from nanobanana.management.files import opened
from nanobanana.management.prompts import is_somebody_there, read_line
from nanobanana.progress import progress
from nanobanana.restoring import Restored, restore


class Command(AsyncCommand):
    help = (
        "Put accounts of a backup back, after all of it was verified, and check each. Those that are here "
        "already stay as they are without --replace; others are not touched. Run again, it goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--user", action="append", metavar="ID|EMAIL", help="these users alone")
        parser.add_argument("--replace", action="store_true", help="also in the place of what they have here")
        parser.add_argument("--yes", action="store_true", help="do not ask before replacing")
        parser.add_argument("--no-media", action="store_true", help="leave the bytes of pictures out")
        parser.add_argument("--verify", action="store_true", help="only read all of it, and change nothing")

    async def run(self, *, file: Path, **options: Any) -> None:
        with opened(file) as content:
            try:
                backup = Backup(content)
            except UnusableBackup as error:
                raise CommandError(f"{file}: {error}") from error
            verify(backup)
            if options["verify"]:
                self.answer(asdict(backup.manifest), sentence(f"{file} is whole", backup.manifest))
            else:
                await self._restore(backup, **options)

    async def _restore(
        self,
        backup: Backup,
        *,
        user: list[str] | None,
        replace: bool,
        yes: bool,
        no_media: bool,
        **options: Any,
    ) -> None:
        users = chosen(backup.users(), user)
        if replace and not yes:
            confirm(len(users))
        with progress("Restoring", len(users)) as advance:
            restored = await restore(
                backup, users=users, replace=replace, with_media=not no_media, advance=advance
            )
        self.answer(_content(restored), *_sentences(restored))
        if restored.findings.faults:
            raise CommandError(f"{count(len(restored.findings.faults), 'fault')} in what was put back.")


def chosen(users: list[BackedUpUser], names: list[str] | None) -> list[BackedUpUser]:
    """Those of the users with these ids or addresses. Raises CommandError for one that is not there."""
    wanted = {name: normalized_email(name) if "@" in name else name for name in names or ()}
    for name, form in wanted.items():
        if not any(form in {user.id, user.email} for user in users):
            raise CommandError(f"There is no user {name} in it.")
    forms = set(wanted.values())
    return [user for user in users if names is None or user.id in forms or user.email in forms]


def confirm(number: int) -> None:
    """Have it said. Raises CommandError when it is not."""
    if not is_somebody_there():
        raise CommandError(f"What {count(number, 'account')} have here would be replaced: say --yes.")
    typed = read_line(f"This replaces all that {count(number, 'account')} have here. Type yes to go on: ")
    if typed.strip() != "yes":
        raise CommandError("Nothing is changed.")


def _content(restored: Restored) -> dict[str, Any]:
    return {
        "users": restored.users,
        "keys": restored.keys,
        "media": restored.media,
        "skipped": restored.skipped,
        "mended": restored.findings.mended,
        "faults": restored.findings.faults,
    }


def _sentences(restored: Restored) -> list[str]:
    what = f"{count(restored.users, 'account')} with {count(restored.keys, 'key')}"
    pictures = f" and {count(restored.media, 'object')} of pictures" if restored.media else ""
    mended = [f"Settled: {fault}" for fault in restored.findings.mended]
    return [*restored.skipped, *mended, *restored.findings.faults, f"Restored {what}{pictures}."]
