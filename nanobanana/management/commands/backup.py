"""`manage.py backup`: write all accounts into one file that is verified."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.people import account_named
from nanobanana.backups import Backup, BackupWriter, Manifest, UnusableBackup
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.management.files import new_file
from nanobanana.progress import progress
from nanobanana.redisdb.walking import database_size
from nanobanana.restoring import back_up


class Command(AsyncCommand):
    help = (
        "Write accounts with all they have into one file, and read it again to verify it. The server may "
        "run. The file holds hashes of passwords: it is made for its owner alone, keep it so."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="it must not exist yet")
        parser.add_argument("--user", action="append", metavar="ID|EMAIL", help="of these users alone")
        parser.add_argument("--media", action="store_true", help="with the bytes of pictures")

    async def run(self, *, file: Path, user: list[str] | None, media: bool, **options: Any) -> None:
        user_ids = [(await account_named(name)).id for name in dict.fromkeys(user)] if user else None
        with new_file(file) as draft:
            with BackupWriter(draft, has_media=media) as writer:
                with progress("Writing", 2 * await database_size()) as advance:
                    left_out = await back_up(writer, user_ids=user_ids, advance=advance)
                manifest = writer.finish()
            verify(Backup(draft))
        content = {"file": str(file), **asdict(manifest), "leftOut": left_out}
        self.answer(content, *left_out, sentence(f"Wrote {file}", manifest))
        if left_out:
            raise CommandError(f"{count(len(left_out), 'account')} cannot be read and is not in it.")


def verify(backup: Backup) -> None:
    """Read all of it. Raises CommandError when it is not as it was written."""
    total = sum(info.file_size for info in backup.entries)
    try:
        with progress("Verifying", total) as advance:
            for size in backup.verify():
                advance(size)
    except UnusableBackup as error:
        raise CommandError(str(error)) from error


def sentence(done: str, manifest: Manifest) -> str:
    pictures = "no pictures" if manifest.media is None else count(manifest.media, "object") + " of pictures"
    what = f"{count(manifest.users, 'account')} with {count(manifest.keys, 'key')} and {pictures}"
    return f"{done}: {what}, sha256 {manifest.sha256}."
