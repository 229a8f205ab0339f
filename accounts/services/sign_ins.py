"""Coming in: registering, signing in, and going on with new tokens."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings

from accounts import guessing, links, tokens
from accounts.models import Device, Password, User
from accounts.passwords import hash_password, is_outdated, refuse_weak_password, verify_password
from accounts.services.access import NOBODY, Visitor, changes_of, find_user, normalized_email, visitor_of
from accounts.services.devices import device_of, log_out, remove_devices
from nanobanana.errors import (
    CredentialsWrong,
    EmailTaken,
    ServiceUnavailable,
    TokenInvalid,
)
from nanobanana.redisdb.exceptions import CommitRefused, DoesNotExist
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from nanobanana.request_ids import note_user

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=15)  # in which a device that missed the answer may show a refresh token again


@dataclass(frozen=True)
class SignIn:
    """What a sign-in gives: the user and the tokens of a device."""

    user: User
    token: str
    refresh_token: str
    expires_in: int = settings.JWT_EXPIRES_IN


async def register(*, email: str, username: str, password: str, device_name: str, ip: str) -> SignIn:
    """Make an account and sign its first device in."""
    user = _new_user(email, username, last_login_at=now())
    await refuse_weak_password(password, email=user.email, username=username, field="password")
    device = _new_device(user.id, device_name, ip)
    await store_account(user=user, encode=lambda: hash_password(password), device=device)
    await links.welcome(user)
    return sign_in_of(user, device)


async def create_account(*, email: str, username: str, password: str, is_verified: bool = False) -> User:
    """Make an account that is signed in nowhere; no mail goes out."""
    user = _new_user(email, username, email_verified=is_verified)
    await refuse_weak_password(password, email=user.email, username=username, field="password")
    await store_account(user=user, encode=lambda: hash_password(password))
    return user


async def store_account(
    *, user: User, encode: Callable[[], Awaitable[str]], device: Device | None = None
) -> None:
    """Store a new user with a hash of a password, and the first device; EmailTaken.

    What is interrupted on the way leaves nothing that lasts.
    """
    if not await User.objects.claim_email(user.email, user.id):
        raise EmailTaken
    try:
        await _store_for_now(user, await encode(), device)
    except Exception:
        await User.objects.release_email(user.email, user.id)
        raise
    async with unit_of_work(user.id) as work:
        User.objects.keep(work, user, device)


async def log_in(
    *, email: str, password: str, device_name: str, ip: str, shown_token: str | None = None
) -> SignIn:
    """Sign a device in; a wrong password and an unknown address look and cost the same.

    TooManyRequests after too many failures; those of others at this IP do not count for a device that shows
    an access token of the account.
    """
    address = normalized_email(email)
    found = await find_user(address)
    stored = await Password.objects.find((found or NOBODY).id)
    known_device = await _device_of_token(shown_token, found)
    async with guessing.one_try(email=address, ip=ip, device_id=known_device):
        user, stored = await _check_credentials(found, stored, password)
    device = _new_device(user.id, device_name, ip)
    try:
        await _store_sign_in(user, stored, device, password)
    except CommitRefused:  # the hash changed meanwhile, and with it the password, or nothing but its kind
        return await log_in(
            email=email, password=password, device_name=device_name, ip=ip, shown_token=shown_token
        )
    await _let_go_of_surplus(user.id)
    return sign_in_of(user, device)


async def refresh(*, refresh_token: str) -> SignIn:
    """New tokens for the device of a refresh token, which is good once (RFC 9700, 4.14.2).

    Shown again within GRACE it is the device's retry, which gets tokens of the rotation that was made. Shown
    later it is in two hands, nobody can tell whose are the right ones, and the device is signed out.
    """
    claims = tokens.read_refresh_token(refresh_token)
    visitor = await visitor_of(claims)
    device = await device_of(visitor=visitor)
    if device.refresh_id == claims.token_id:
        device = await _rotate(visitor, device)
    if not _is_just_replaced(device, claims.token_id):
        logger.warning("A used refresh token came back: signing out %r", device)
        await log_out(visitor=visitor)
        raise TokenInvalid
    return sign_in_of(visitor.user, device)


async def renew(*, visitor: Visitor) -> str:
    """A new access token for a device that shows one, as the seed's clients ask for it."""
    async with changes_of(visitor.user) as work:
        device = Device(visitor.user.id, visitor.device_id)
        work.expect_exists(device, TokenInvalid())
        Device.objects.renew(work, device)
    return tokens.access_token(visitor.user.id, visitor.device_id)


def sign_in_of(user: User, device: Device) -> SignIn:
    note_user(user.id)
    access = tokens.access_token(user.id, device.id)
    return SignIn(user, access, tokens.refresh_token(user.id, device.id, device.refresh_id))


def _new_user(email: str, username: str, **fields: Any) -> User:
    return User(
        identifier := new_id(), identifier, email=normalized_email(email), username=username, **fields
    )


async def _store_for_now(user: User, encoded: str, device: Device | None) -> None:
    async with unit_of_work(user.id) as work:
        User.objects.create(work, user)
        Password.objects.create(work, Password(user.id, user.id, encoded=encoded))
        if device:
            Device.objects.create(work, device)
        User.objects.keep_for_now(work, user, device)
    if not await User.objects.confirm_email(user.email, user.id):
        raise ServiceUnavailable


async def _store_sign_in(user: User, stored: Password, device: Device, password: str) -> None:
    """Store the device, and a new hash of the password if the one there is outdated."""
    renewed = await hash_password(password) if is_outdated(stored.encoded) else None
    async with unit_of_work(user.id) as work:
        work.expect_exists(user, CredentialsWrong())
        work.expect_equal(stored, "encoded")
        work.expect_equal(user, "is_active", CredentialsWrong())
        User.objects.update(work, user, last_login_at=now())
        if renewed:
            Password.objects.update(work, stored, encoded=renewed)
        Device.objects.create(work, device)
        User.objects.keep(work, user, device)


async def _check_credentials(
    user: User | None, stored: Password | None, password: str
) -> tuple[User, Password]:
    is_right = await verify_password(password, stored.encoded if stored else None)
    if user is None or stored is None or not is_right or not user.is_active:
        raise CredentialsWrong
    return user, stored


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


def _new_device(user_id: str, name: str, ip: str) -> Device:
    return Device(user_id, new_id(), name=name, ip=ip)


async def _rotate(visitor: Visitor, device: Device) -> Device:
    """The device with its next refresh id; of several calls with the same token, one gives it."""
    try:
        async with changes_of(visitor.user) as work:
            Device.objects.rotate(work, device)
    except CommitRefused:
        return await device_of(visitor=visitor)
    return device


def _is_just_replaced(device: Device, refresh_id: str) -> bool:
    is_previous = device.previous_refresh_id == refresh_id
    return is_previous and device.rotated_at is not None and now() - device.rotated_at <= GRACE


async def _let_go_of_surplus(user_id: str) -> None:
    device_ids = await Device.objects.surplus_ids(user_id)
    if device_ids:
        await remove_devices(user_id, device_ids)
    for device_id in device_ids:
        await Device.objects.say_signed_out(user_id, f"signed-out:{device_id}")
