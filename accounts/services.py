"""What can be done with accounts: the only writer of users and devices, and the only one to tell of it."""

import asyncio
import logging
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.dispatch import Signal
from redis.exceptions import RedisError

from accounts import tokens
from accounts.managers import TURN
from accounts.models import Device, User
from accounts.passwords import hash_password, verify_password
from nanobanana.errors import CredentialsWrong, EmailTaken, ServiceUnavailable, TokenInvalid
from nanobanana.events import UserUpdated
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, unit_of_work

logger = logging.getLogger(__name__)

# Sent with `user_id` when an account goes; the apps above remove what they keep of it. A receiver can be
# called again for the same account, after a crash.
account_deleted = Signal()


@dataclass(frozen=True)
class Visitor:
    """Whose request or socket it is; `expires_at` is in Unix seconds."""

    user: User
    device_id: str
    expires_at: int


@dataclass(frozen=True)
class SignIn:
    """What a sign-in gives: the user and the tokens of a device."""

    user: User
    token: str
    refresh_token: str
    expires_in: int = settings.JWT_EXPIRES_IN


@asynccontextmanager
async def changes_of(user: User, operation: Operation | None = None) -> AsyncIterator[UnitOfWork]:
    """A unit of work on what a user has; refused when the account is gone. The user learns the new cursor."""
    async with unit_of_work(user.id, operation) as work:
        work.expect_exists(user, TokenInvalid())
        yield work
    if work.changed:
        user.cursor = work.cursor


# ---- coming in
async def register(*, email: str, username: str, password: str, device_name: str, ip: str) -> SignIn:
    """Make an account and sign its first device in."""
    address = normalized_email(email)
    user = User(identifier := new_id(), identifier, email=address, username=username)
    if not await User.objects.claim_email(address, user.id):
        raise EmailTaken
    try:
        await _store_user(user, password, device := _new_device(user.id, device_name, ip))
    except Exception:
        await User.objects.release_email(address, user.id)
        raise
    async with unit_of_work(user.id) as work:
        User.objects.keep(work, user, device)
    return _sign_in(user, device)


async def log_in(*, email: str, password: str, device_name: str, ip: str) -> SignIn:
    """Sign a device in; a wrong password and an unknown address look and cost the same."""
    user = await _find(normalized_email(email))
    if (
        not await verify_password(password, user.password if user else None)
        or user is None
        or not user.is_active
    ):
        raise CredentialsWrong
    device = _new_device(user.id, device_name, ip)
    async with unit_of_work(user.id) as work:
        work.expect_exists(user, CredentialsWrong())
        work.expect_equal(user, "password", CredentialsWrong())
        User.objects.update(work, user, last_login_at=now())
        Device.objects.create(work, device)
        User.objects.keep(work, user, device)
    return _sign_in(user, device)


async def authenticate(token: str) -> Visitor:
    """The visitor of an access token, in one round trip; its device and user must still be there."""
    return await _visitor(tokens.read_access_token(token))


async def redeem_ticket(ticket: str) -> Visitor:
    """The visitor a socket's ticket stands for; the ticket is gone then."""
    taken = await Device.objects.take_ticket(ticket)
    if taken is None:
        raise TokenInvalid
    return await _visitor(tokens.Claims(*taken))


async def make_ticket(*, visitor: Visitor) -> str:
    return await Device.objects.make_ticket(visitor.user.id, visitor.device_id, visitor.expires_at)


async def refresh(*, refresh_token: str) -> SignIn:
    """New tokens for the device of a refresh token."""
    visitor = await _visitor(tokens.read_refresh_token(refresh_token))
    return _sign_in(visitor.user, Device(visitor.user.id, visitor.device_id))


# ---- changing
async def update_profile(*, user: User, changes: dict[str, Any], operation: Operation | None = None) -> User:
    """Change username or avatar; the answer is the user as stored."""
    if changes:
        async with changes_of(user, operation) as work:
            User.objects.update_if_different(work, user, changes)
            User.objects.update(work, user, updated_at=now())
            work.emit(UserUpdated(user_id=user.id), user)
    return user


async def change_password(*, visitor: Visitor, current_password: str, new_password: str) -> SignIn:
    """Change the password and sign every other device out."""
    user = visitor.user
    if not await verify_password(current_password, user.password):
        raise CredentialsWrong("The current password is wrong.")
    encoded = await hash_password(new_password)
    others = await _other_devices(visitor)
    async with changes_of(user) as work:
        work.expect_equal(user, "password")
        User.objects.update(work, user, password=encoded, updated_at=now())
        Device.objects.remove_ids(work, "devices", others)
        work.emit(UserUpdated(user_id=user.id), user)
    while others := await _other_devices(visitor):  # who came in with the old password in the meantime
        await _remove_devices(user.id, others)
    await Device.objects.say_signed_out(user.id, f"signed-out-except:{visitor.device_id}")
    return _sign_in(user, Device(user.id, visitor.device_id))


# ---- leaving
async def log_out(*, visitor: Visitor) -> None:
    """Sign this device out: its tokens and sockets end here."""
    async with changes_of(visitor.user) as work:
        Device.objects.remove_ids(work, "devices", [visitor.device_id])
    await Device.objects.say_signed_out(visitor.user.id, f"signed-out:{visitor.device_id}")


async def delete_account(*, visitor: Visitor, password: str) -> None:
    """Delete the account and all it owns. It is gone for everyone at once; the rest follows in steps."""
    user = visitor.user
    if not await verify_password(password, user.password):
        raise CredentialsWrong("The password is wrong.")
    await User.objects.begin_deletion(user)
    await finish_deletion(user.id, user.email)


async def finish_deletion(user_id: str, email: str) -> None:
    """Do, or take up again, what deletes an account; each step can be repeated."""
    async with unit_of_work(user_id) as work:
        work.write("delete", User(user_id, user_id).key)
    while device_ids := await Device.objects.some_ids(user_id):
        await _remove_devices(user_id, device_ids)
    await Device.objects.say_signed_out(user_id, "signed-out:*")
    await User.objects.release_email(email, user_id)
    await account_deleted.asend(sender=User, user_id=user_id)
    await User.objects.end_deletion(user_id)


async def finish_deletions() -> None:
    """Take up the deletions that were left behind; one that fails again does not stop the others."""
    for user_id, email in (await User.objects.deletions()).items():
        try:
            await finish_deletion(user_id, email)
        except Exception:
            logger.exception("The deletion of %s is not finished", user_id)


async def keep_finishing_deletions() -> None:
    """The same for as long as the process lives, with one process at a time having its turn."""
    while True:
        try:
            if await User.objects.take_turn():
                await finish_deletions()
        except (RedisError, OSError) as error:
            logger.warning("Nobody can look after deletions now: %s", error)
        await asyncio.sleep(TURN)


def normalized_email(email: str) -> str:
    """The form in which addresses are unique: NFKC, case folded."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()


async def _store_user(user: User, password: str, device: Device) -> None:
    encoded = await hash_password(password)
    user.__dict__.update(password=encoded, last_login_at=now())
    async with unit_of_work(user.id) as work:
        User.objects.create(work, user)
        Device.objects.create(work, device)
        User.objects.keep_for_now(work, user, device)
    if not await User.objects.confirm_email(user.email, user.id):
        raise ServiceUnavailable


async def _other_devices(visitor: Visitor) -> list[str]:
    return [each for each in await Device.objects.some_ids(visitor.user.id) if each != visitor.device_id]


async def _remove_devices(user_id: str, device_ids: list[str]) -> None:
    async with unit_of_work(user_id) as work:
        Device.objects.remove_ids(work, "devices", device_ids)


async def _find(email: str) -> User | None:
    user_id = await User.objects.id_of_email(email)
    try:
        return await User.objects.aget(user_id, user_id) if user_id else None
    except DoesNotExist:
        return None


async def _visitor(claims: tokens.Claims) -> Visitor:
    device = Device(claims.user_id, claims.device_id)
    try:
        user = await User.objects.aget(claims.user_id, claims.user_id, required=device)
    except DoesNotExist as error:
        raise TokenInvalid from error
    if not user.is_active:
        raise TokenInvalid
    return Visitor(user, claims.device_id, claims.expires_at)


def _new_device(user_id: str, name: str, ip: str) -> Device:
    return Device(user_id, new_id(), name=name, ip=ip)


def _sign_in(user: User, device: Device) -> SignIn:
    access = tokens.access_token(user.id, device.id)
    return SignIn(user, access, tokens.refresh_token(user.id, device.id))
