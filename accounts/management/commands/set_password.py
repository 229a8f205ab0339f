"""`manage.py set_password`: give a user a new password."""

from typing import Any

from django.core.management.base import CommandParser
from rest_framework.exceptions import ValidationError

from accounts.management.people import account_named, read_password, sentences_of
from accounts.serializers import NewPasswordSerializer, render_user
from accounts.services.recovery import set_password
from nanobanana.management.async_command import AsyncCommand
from nanobanana.serializers import validate


class Command(AsyncCommand):
    help = (
        "Give a user a new password, which is asked for, or read from the input's first line. All devices "
        "are signed out, and who was locked out after wrong passwords may try again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="ID|EMAIL")

    async def run(self, *, user: str, **options: Any) -> None:
        account = await account_named(user)
        try:
            fields = validate(NewPasswordSerializer, {"password": read_password()})
        except ValidationError as error:
            raise sentences_of(error) from error
        await set_password(user=account, **fields)
        self.answer({"user": render_user(account)}, f"{account.email} has a new password.")
