"""`manage.py export_user`: write all that a user has into an archive."""

import asyncio
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any

from accounts.management.people import account_named
from accounts.models import User
from chats.archives.writer import export_account
from chats.services.archives import size_of_account
from nanobanana.management.async_command import AsyncCommand
from nanobanana.management.files import new_file
from nanobanana.progress import progress


class Command(AsyncCommand):
    help = "Write all that a user has into an archive, as GET /api/auth/me/export gives it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user's e-mail address or id")
        parser.add_argument("file", type=Path, help="the archive to write; it must not exist yet")

    async def run(self, *, user: str, file: Path, **options: Any) -> None:
        account = await account_named(user)
        with new_file(file) as draft:
            await write(account, draft)
        figures = {"user": account.id, "file": str(file)}
        self.answer(figures, f"Exported {account.email} to {file}.")


async def write(account: User, file: IO[bytes]) -> None:
    with progress("Exporting", await size_of_account(user=account)) as advance:
        async for chunk in await export_account(user=account, advance=advance):
            await asyncio.to_thread(file.write, chunk)
