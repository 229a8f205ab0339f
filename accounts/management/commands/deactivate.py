"""`manage.py deactivate`: shut a user out."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.management.people import account_named
from accounts.serializers import render_user
from accounts.services.profile import deactivate_account
from nanobanana.management.async_command import AsyncCommand


class Command(AsyncCommand):
    help = "Shut a user out until `reactivate`: all devices are signed out at once, what the user has stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="ID|EMAIL")

    async def run(self, *, user: str, **options: Any) -> None:
        account = await account_named(user)
        await deactivate_account(user=account)
        self.answer({"user": render_user(account)}, f"{account.email} is shut out.")
