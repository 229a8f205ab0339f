"""Whose a request is: tokens, tickets and addresses; and the unit of work on what a user has."""

import unicodedata
from dataclasses import dataclass

from redis.exceptions import ResponseError

from accounts import tokens
from accounts.models import Device, User
from nanobanana.errors import TokenInvalid, TooManyRequests
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.exceptions import DoesNotExist, FieldError, RedisDBError, says_wrong_type
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork
from nanobanana.request_ids import note_user
from nanobanana.throttling import Budget, Standing, site_of

NOBODY = User("0" * 26, "0" * 26, email="")  # whom to look for when nobody was found


class UnreadableAccount(RedisDBError):
    """What is stored of an account is damaged; a sentence says how. `restore --replace` puts it back."""


@dataclass(frozen=True)
class Visitor:
    """Whose request or socket it is; `expires_at` is in Unix seconds, `head` where the log stood then."""

    user: User
    device_id: str
    device_name: str
    expires_at: int
    head: Cursor
    standing: Standing | None = None  # with the budget that the request was counted against


class changes_of(UnitOfWork):
    """A unit of work on what a user has; refused when the account is gone. The user learns the new cursor."""

    def __init__(self, user: User, operation: Operation | None = None) -> None:
        super().__init__(user.id, operation)
        self._user = user
        self.expect_exists(user, TokenInvalid())

    async def commit(self) -> None:
        await super().commit()
        if self.changed:
            self._user.cursor = self.cursor


async def authenticate(token: str, budget: Budget | None = None) -> Visitor:
    """The visitor of an access token, whose device and user must still be there.

    In the same round trip the request is counted against the user's budget; TooManyRequests when it is spent.
    """
    return await visitor_of(tokens.read_access_token(token), budget)


async def admit_stranger(ip: str, budget: Budget) -> Standing | None:
    """Count the request of nobody known against the budget of its address; None without a limit."""
    standing = await Device.objects.admit_stranger(site_of(ip), budget)
    _refuse_if_spent(standing)
    return standing


async def redeem_ticket(ticket: str, budget: Budget | None = None) -> Visitor:
    """The visitor a socket's ticket stands for; the ticket is gone then."""
    taken = await Device.objects.take_ticket(ticket)
    if taken is None:
        raise TokenInvalid
    return await visitor_of(tokens.Claims(*taken), budget)


async def make_ticket(*, visitor: Visitor) -> str:
    return await Device.objects.make_ticket(visitor.user.id, visitor.device_id, visitor.expires_at)


async def find_user(email: str) -> User | None:
    """Whose address it is; that it is nobody's takes as many steps to find out."""
    user_id = await User.objects.id_of_email(normalized_email(email)) or NOBODY.id
    try:
        return await User.objects.aget(user_id, user_id)
    except DoesNotExist:
        return None


async def find_account(name: str) -> User | None:
    """The user of this address or id, as operators name one. Raises UnreadableAccount."""
    try:
        return await find_user(name) if "@" in name else await User.objects.aget(name, name)
    except DoesNotExist:
        return None
    except FieldError as error:
        raise UnreadableAccount(f"The account {name} cannot be read: {error}") from error
    except ResponseError as error:
        if says_wrong_type(error):
            raise UnreadableAccount(f"The account {name} cannot be read: {error}") from error
        raise


async def has_account(user_id: str) -> bool:
    """Whether there is an account of this id, be it one that cannot be read."""
    return is_id(user_id) and await User.objects.exists(user_id)


async def owner_of(email: str) -> str | None:
    """The id of the account that has an address, be it one that cannot be read."""
    user_id = await User.objects.id_of_email(normalized_email(email))
    return user_id if user_id and await User.objects.exists(user_id) else None


def normalized_email(email: str) -> str:
    """The form in which addresses are unique: NFKC, case folded."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()


async def visitor_of(claims: tokens.Claims, budget: Budget | None = None) -> Visitor:
    user = User(claims.user_id, claims.user_id)
    device = Device(claims.user_id, claims.device_id)
    admission = await Device.objects.admit(user, device, budget)
    if admission is None or not user.load(admission.user).is_active:
        raise TokenInvalid
    note_user(user.id)
    _refuse_if_spent(admission.standing)
    return Visitor(
        user,
        claims.device_id,
        admission.device_name,
        claims.expires_at,
        admission.head,
        admission.standing,
    )


def _refuse_if_spent(standing: Standing | None) -> None:
    if standing and standing.wait:
        raise TooManyRequests(retry_after=standing.retry_after, headers=standing.headers)
