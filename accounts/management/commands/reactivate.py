"""`manage.py reactivate`: let a user in again."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.people import account_named
from accounts.serializers import render_user
from accounts.services.profile import activate_account
from nanobanana.management.async_command import AsyncCommand


class Command(AsyncCommand):
    help = "Let a user in again who was shut out by `deactivate`."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="ID|EMAIL")

    async def run(self, *, user: str, **options: Any) -> None:
        account = await account_named(user)
        await activate_account(user=account)
        self.answer({"user": render_user(account)}, f"{account.email} may sign in.")
