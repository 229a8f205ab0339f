"""`manage.py delete_user`: delete an account with all it owns."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.people import account_named
from accounts.models import User
from accounts.services.deletion import remove_account
from nanobanana.management.async_command import AsyncCommand
from nanobanana.management.prompts import is_somebody_there, read_line


class Command(AsyncCommand):
    help = "Delete an account with all it owns, for good: it is gone for everyone at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="ID|EMAIL")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    async def run(self, *, user: str, yes: bool, **options: Any) -> None:
        account = await account_named(user)
        if not yes:
            confirm(account)
        await remove_account(user=account)
        self.answer(
            {"deleted": {"id": account.id, "email": account.email}}, f"{account.email} is deleted for good."
        )


def confirm(account: User) -> None:
    """Have the address typed. Raises CommandError when it is not."""
    if not is_somebody_there():
        raise CommandError(f"{account.email} and all it owns would be gone for good: say --yes.")
    typed = read_line(f"This deletes all that {account.email} has. Type the address to go on: ")
    if typed.strip() != account.email:
        raise CommandError("Nothing is deleted.")
