"""Whom commands are about, and the passwords they ask for."""

from django.core.management.base import CommandError
from rest_framework.exceptions import ValidationError

from accounts.models import User
from accounts.services.access import find_account
from nanobanana.management.prompts import is_somebody_there, read_line, read_secret


async def account_named(name: str) -> User:
    """The user of this id or e-mail address. Raises CommandError."""
    account = await find_account(name)
    if account is None:
        raise CommandError(f"There is no user {name or 'without a name'}.")
    return account


def read_password() -> str:
    """A new password: asked for twice on a terminal, else the first line of the input. Never an argument,
    which everybody on the machine could read, and which stays in the history of the shell.
    """
    if not is_somebody_there():
        return read_line()
    password = read_secret("Password: ")
    if read_secret("Again: ") != password:
        raise CommandError("The two passwords differ.")
    return password


def sentences_of(error: ValidationError) -> CommandError:
    """What serializers refuse, as commands say it."""
    assert isinstance(error.detail, dict)
    lines = [f"{field}: {' '.join(map(str, found))}" for field, found in error.detail.items()]
    return CommandError("\n".join(lines))
