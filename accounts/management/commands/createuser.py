"""`manage.py createuser`: make an account."""

from typing import Any

from django.core.management.base import CommandParser
from rest_framework.exceptions import ValidationError

from accounts.management.people import read_password, sentences_of
from accounts.serializers import RegisterSerializer, render_user
from accounts.services.sign_ins import create_account
from nanobanana.management.async_command import AsyncCommand
from nanobanana.serializers import validate


class Command(AsyncCommand):
    help = "Make an account. The password is asked for, or read from the input's first line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the user's e-mail address")
        parser.add_argument("--username", help="the name to show; default: what stands before the @")
        parser.add_argument("--verified", action="store_true", help="take the address for proven")

    async def run(self, *, email: str, username: str | None, verified: bool, **options: Any) -> None:
        name = email.partition("@")[0] if username is None else username
        typed = {"email": email, "username": name, "password": read_password()}
        try:
            fields = validate(RegisterSerializer, typed)
        except ValidationError as error:
            raise sentences_of(error) from error
        user = await create_account(**fields, is_verified=verified)
        self.answer({"user": render_user(user)}, f"Made the account {user.id} of {user.email}.")
