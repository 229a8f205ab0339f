"""Whom commands are about, and the passwords they ask for."""

from django.core.management.base import CommandError
from rest_framework.exceptions import ValidationError

from accounts.models import User
from accounts.services.access import UnreadableAccount, find_account, has_account, owner_of
from nanobanana.management.prompts import is_somebody_there, read_line, read_secret


async def account_named(name: str) -> User:
    """The user of this id or e-mail address. Raises CommandError."""
    try:
        account = await find_account(name)
    except UnreadableAccount as error:
        raise CommandError(f"{error} A backup has it as it was: restore --replace.") from error
    if account is None:
        raise CommandError(f"There is no user {name or 'without a name'}.")
    return account


async def id_named(name: str) -> str:
    """The id of the user of this id or e-mail address, be it one that cannot be read. Raises CommandError."""
    user_id = await owner_of(name) if "@" in name else name
    if user_id is None or not await has_account(user_id):
        raise CommandError(f"There is no user {name or 'without a name'}.")
    return user_id


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
