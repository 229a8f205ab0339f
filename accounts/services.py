"""What can be done with accounts: the only writer of users and devices, and the only one to tell of it."""

import asyncio
import logging
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.dispatch import Signal
from redis.exceptions import RedisError

from accounts import guessing, links, tokens
from accounts.managers import DEVICES_KEPT, TURN
from accounts.models import Device, User
from accounts.passwords import hash_password, is_outdated, refuse_weak_password, verify_password
from nanobanana.errors import (
    CredentialsWrong,
    EmailTaken,
    NotFound,
    ServiceUnavailable,
    TokenInvalid,
    TooManyRequests,
)
from nanobanana.events import UserUpdated
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import Operation, UnitOfWork, unit_of_work
from nanobanana.throttling import Budget, Standing, site_of

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=15)  # in which a device that missed the answer may show a refresh token again
NO_DEVICE = "There is no such device."
NOBODY = User("0" * 26, "0" * 26, email="", password="")  # whom to look for when nobody was found

# Sent with `user_id` when an account goes; the apps above remove what they keep of it. A receiver can be
# called again for the same account, after a crash.
account_deleted = Signal()


@dataclass(frozen=True)
class Visitor:
    """Whose request or socket it is; `expires_at` is in Unix seconds."""

    user: User
    device_id: str
    expires_at: int
    standing: Standing | None = None  # with the budget that the request was counted against


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
    await refuse_weak_password(password, email=address, username=username, field="password")
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
    await links.welcome(user)
    return _sign_in(user, device)


async def log_in(
    *, email: str, password: str, device_name: str, ip: str, shown_token: str | None = None
) -> SignIn:
    """Sign a device in; a wrong password and an unknown address look and cost the same.

    TooManyRequests after too many failures; those of others at this IP do not count for a device that shows
    an access token of the account.
    """
    address = normalized_email(email)
    found = await find_user(address)
    known_device = await _device_of_token(shown_token, found)
    async with guessing.one_try(email=address, ip=ip, device_id=known_device):
        user = await _check_credentials(found, password)
    device = _new_device(user.id, device_name, ip)
    try:
        await _store_sign_in(user, device, password)
    except CommitRefused:  # the hash changed meanwhile, and with it the password, or nothing but its kind
        return await log_in(
            email=email, password=password, device_name=device_name, ip=ip, shown_token=shown_token
        )
    await _let_go_of_surplus(user.id)
    return _sign_in(user, device)


async def authenticate(token: str, budget: Budget | None = None) -> Visitor:
    """The visitor of an access token, whose device and user must still be there.

    In the same round trip the request is counted against the user's budget; TooManyRequests when it is spent.
    """
    return await _visitor(tokens.read_access_token(token), budget)


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
    return await _visitor(tokens.Claims(*taken), budget)


async def make_ticket(*, visitor: Visitor) -> str:
    return await Device.objects.make_ticket(visitor.user.id, visitor.device_id, visitor.expires_at)


async def refresh(*, refresh_token: str) -> SignIn:
    """New tokens for the device of a refresh token, which is good once (RFC 9700, 4.14.2).

    Shown again within GRACE it is the device's retry, which gets tokens of the rotation that was made. Shown
    later it is in two hands, nobody can tell whose are the right ones, and the device is signed out.
    """
    claims = tokens.read_refresh_token(refresh_token)
    visitor = await _visitor(claims)
    device = await _device_of(visitor)
    if device.refresh_id == claims.token_id:
        device = await _rotate(visitor, device)
    if not _is_just_replaced(device, claims.token_id):
        logger.warning("A used refresh token came back: signing out %r", device)
        await log_out(visitor=visitor)
        raise TokenInvalid
    return _sign_in(visitor.user, device)


async def renew(*, visitor: Visitor) -> str:
    """A new access token for a device that shows one, as the seed's clients ask for it."""
    async with changes_of(visitor.user) as work:
        device = Device(visitor.user.id, visitor.device_id)
        work.expect_exists(device, TokenInvalid())
        Device.objects.renew(work, device)
    return tokens.access_token(visitor.user.id, visitor.device_id)


# ---- devices
async def list_devices(*, user: User) -> list[Device]:
    """The user's devices, the one that signed in or refreshed last first."""
    window = Window(limit=DEVICES_KEPT, descending=True)
    return (await Device.objects.apage(user.id, "devices", window)).objects


async def sign_out_device(*, user: User, device_id: str) -> None:
    """End the tokens and sockets of one of the user's devices; NotFound when there is none of this id."""
    try:
        device = Device.handle(user.id, device_id)
    except DoesNotExist as error:
        raise NotFound(NO_DEVICE) from error
    async with changes_of(user) as work:
        work.expect_exists(device, NotFound(NO_DEVICE))
        Device.objects.remove_ids(work, "devices", [device.id])
    await Device.objects.say_signed_out(user.id, f"signed-out:{device.id}")


async def sign_out_everywhere(*, user_id: str) -> None:
    """End the tokens and sockets of all devices of the user."""
    while device_ids := await Device.objects.some_ids(user_id):
        await _remove_devices(user_id, device_ids)
    await Device.objects.say_signed_out(user_id, "signed-out:*")


# ---- changing
async def update_profile(*, user: User, changes: dict[str, Any], operation: Operation | None = None) -> User:
    """Change username or avatar; the answer is the user as stored."""
    if changes:
        async with changes_of(user, operation) as work:
            User.objects.update_if_different(work, user, changes)
            User.objects.update(work, user, updated_at=now())
            work.emit(UserUpdated(user_id=user.id), user)
    return user


async def change_password(*, visitor: Visitor, current_password: str, new_password: str, ip: str) -> SignIn:
    """Change the password and sign every other device out."""
    user = visitor.user
    await _confirm_password(visitor, current_password, ip)
    await refuse_weak_password(new_password, email=user.email, username=user.username, field="newPassword")
    encoded = await hash_password(new_password)
    device = await _device_of(visitor)
    others = await _other_devices(visitor)
    async with changes_of(user) as work:
        work.expect_equal(user, "password")
        User.objects.update(work, user, password=encoded, updated_at=now())
        Device.objects.remove_ids(work, "devices", others)
        Device.objects.rotate(work, device)
        work.emit(UserUpdated(user_id=user.id), user)
    while others := await _other_devices(visitor):  # who came in with the old password in the meantime
        await _remove_devices(user.id, others)
    await Device.objects.say_signed_out(user.id, f"signed-out-except:{visitor.device_id}")
    return _sign_in(user, device)


async def deactivate_account(*, user: User) -> None:
    """Shut the user out until `activate_account`: all devices are signed out, what the user has stays."""
    await _set_active(user, False)
    await sign_out_everywhere(user_id=user.id)


async def activate_account(*, user: User) -> None:
    """Let the user sign in again."""
    await _set_active(user, True)


# ---- leaving
async def log_out(*, visitor: Visitor) -> None:
    """Sign this device out: its tokens and sockets end here."""
    async with changes_of(visitor.user) as work:
        Device.objects.remove_ids(work, "devices", [visitor.device_id])
    await Device.objects.say_signed_out(visitor.user.id, f"signed-out:{visitor.device_id}")


async def delete_account(*, visitor: Visitor, password: str, ip: str) -> None:
    """Delete the account and all it owns. It is gone for everyone at once; the rest follows in steps."""
    user = visitor.user
    await _confirm_password(visitor, password, ip)
    await User.objects.begin_deletion(user)
    await finish_deletion(user.id, user.email)


async def finish_deletion(user_id: str, email: str) -> None:
    """Do, or take up again, what deletes an account; each step can be repeated."""
    async with unit_of_work(user_id) as work:
        work.write("delete", User(user_id, user_id).key)
    await sign_out_everywhere(user_id=user_id)
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


async def find_user(email: str) -> User | None:
    """Whose address it is; that it is nobody's takes as many steps to find out."""
    user_id = await User.objects.id_of_email(normalized_email(email)) or NOBODY.id
    try:
        return await User.objects.aget(user_id, user_id)
    except DoesNotExist:
        return None


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


async def _set_active(user: User, is_active: bool) -> None:
    async with changes_of(user) as work:
        User.objects.update_if_different(work, user, {"is_active": is_active})
        User.objects.update(work, user, updated_at=now())
        work.emit(UserUpdated(user_id=user.id), user)


async def _device_of(visitor: Visitor) -> Device:
    try:
        return await Device.objects.aget(visitor.user.id, visitor.device_id)
    except DoesNotExist as error:
        raise TokenInvalid from error


async def _rotate(visitor: Visitor, device: Device) -> Device:
    """The device with its next refresh id; of several calls with the same token, one gives it."""
    try:
        async with changes_of(visitor.user) as work:
            Device.objects.rotate(work, device)
    except CommitRefused:
        return await _device_of(visitor)
    return device


def _is_just_replaced(device: Device, refresh_id: str) -> bool:
    is_previous = device.previous_refresh_id == refresh_id
    return is_previous and device.rotated_at is not None and now() - device.rotated_at <= GRACE


async def _let_go_of_surplus(user_id: str) -> None:
    device_ids = await Device.objects.surplus_ids(user_id)
    if device_ids:
        await _remove_devices(user_id, device_ids)
    for device_id in device_ids:
        await Device.objects.say_signed_out(user_id, f"signed-out:{device_id}")


async def _other_devices(visitor: Visitor) -> list[str]:
    return [each for each in await Device.objects.some_ids(visitor.user.id) if each != visitor.device_id]


async def _remove_devices(user_id: str, device_ids: list[str]) -> None:
    async with unit_of_work(user_id) as work:
        Device.objects.remove_ids(work, "devices", device_ids)


async def _check_credentials(user: User | None, password: str) -> User:
    is_right = await verify_password(password, user.password if user else None)
    if user is None or not is_right or not user.is_active:
        raise CredentialsWrong
    return user


async def _confirm_password(visitor: Visitor, password: str, ip: str) -> None:
    user = visitor.user
    async with guessing.one_try(email=user.email, ip=ip, device_id=visitor.device_id):
        if not await verify_password(password, user.password):
            raise CredentialsWrong("The current password is wrong.")


async def _device_of_token(token: str | None, user: User | None) -> str | None:
    """The id of the user's device that shows this token, while it is signed in."""
    if token is None or user is None:
        return None
    try:
        claims = tokens.read_access_token(token)
        device = await Device.objects.aget(claims.user_id, claims.device_id)
    except (TokenInvalid, DoesNotExist):
        return None
    return device.id if device.owner_id == user.id else None


async def _store_sign_in(user: User, device: Device, password: str) -> None:
    """Store the device, and a new hash of the password if the one there is outdated."""
    changes: dict[str, Any] = {"last_login_at": now()}
    if is_outdated(user.password):
        changes["password"] = await hash_password(password)
    async with unit_of_work(user.id) as work:
        work.expect_exists(user, CredentialsWrong())
        work.expect_equal(user, "password")
        work.expect_equal(user, "is_active", CredentialsWrong())
        User.objects.update(work, user, **changes)
        Device.objects.create(work, device)
        User.objects.keep(work, user, device)


async def _visitor(claims: tokens.Claims, budget: Budget | None = None) -> Visitor:
    user = User(claims.user_id, claims.user_id)
    device = Device(claims.user_id, claims.device_id)
    pairs, standing = await Device.objects.admit(user, device, budget)
    if not pairs or not user.load(pairs).is_active:
        raise TokenInvalid
    _refuse_if_spent(standing)
    return Visitor(user, claims.device_id, claims.expires_at, standing)


def _refuse_if_spent(standing: Standing | None) -> None:
    if standing and standing.wait:
        raise TooManyRequests(retry_after=standing.retry_after, headers=standing.headers)


def _new_device(user_id: str, name: str, ip: str) -> Device:
    return Device(user_id, new_id(), name=name, ip=ip)


def _sign_in(user: User, device: Device) -> SignIn:
    access = tokens.access_token(user.id, device.id)
    return SignIn(user, access, tokens.refresh_token(user.id, device.id, device.refresh_id))
