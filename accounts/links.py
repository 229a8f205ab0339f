"""The links of mails, which prove that who follows them reads a user's mail.

A link's token is random and names its user. Only its hash is kept, for an hour, under the user's tag.
"""

import hashlib
import logging
import secrets
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import RedisError

from accounts import mail
from accounts.models import Password, User
from nanobanana.errors import ValidationFailed
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.ids import is_id

MAILS_AN_HOUR = 5  # to one user, of one purpose: nobody's mailbox is filled with our help

logger = logging.getLogger(__name__)


class Purpose(StrEnum):
    RESET = "reset"
    VERIFY = "verify"


class LinkInvalid(ValidationFailed):
    """The link was never given, has expired or has been used."""

    def __init__(self) -> None:
        super().__init__(details={"token": ["This link is not valid or has expired; ask for a new one."]})


@dataclass(frozen=True)
class Link:
    """A link that is good; `key` is what the commit that uses it has to find and delete."""

    user: User
    password: Password
    key: str


async def issue_link(user: User, purpose: Purpose) -> str | None:
    """A new token, or None after too many of them."""
    secret = secrets.token_urlsafe(32)
    holds_for = _holds_for(user, await Password.objects.find(user.id), purpose)
    issued = await User.objects.keep_link(user.id, purpose, _digest(secret), holds_for)
    return f"{user.id}.{secret}" if issued <= MAILS_AN_HOUR else None


async def find_link(token: str, purpose: Purpose) -> Link:
    """What a token stands for; LinkInvalid when it stands for nothing any more."""
    user_id, _, secret = token.partition(".")
    if not is_id(user_id):
        raise LinkInvalid
    holds_for = await User.objects.what_link_holds_for(user_id, purpose, _digest(secret))
    try:
        user = await User.objects.aget(user_id, user_id)
    except DoesNotExist as error:
        raise LinkInvalid from error
    password = await Password.objects.find(user_id)
    if password is None or not user.is_active or holds_for != _holds_for(user, password, purpose):
        raise LinkInvalid
    return Link(user, password, User.objects.link_key(user_id, purpose, _digest(secret)))


async def send_verification(user: User) -> None:
    token = await issue_link(user, Purpose.VERIFY)
    if token:
        mail.send_verification_link(user, token)


async def welcome(user: User) -> None:
    """The same for an account just made, which stands whatever becomes of the mail."""
    try:
        await send_verification(user)
    except (RedisError, OSError) as error:
        logger.error("No link to verify the address of %s: %s", user.id, error)


def _holds_for(user: User, password: Password | None, purpose: Purpose) -> str:
    """What has to stay as it is for a link to be good: a reset's is void once the password has changed."""
    encoded = password.encoded if password else ""
    return _digest(encoded if purpose is Purpose.RESET else user.email)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
