"""What is done with the links of mails: choosing a new password, and proving that an address is one's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from accounts import guessing, mail
from accounts.links import LinkInvalid, Purpose, find_link, issue_link, send_verification
from accounts.models import Device, Password, User
from accounts.passwords import hash_password, refuse_weak_password
from accounts.services.access import NOBODY, find_user
from accounts.services.devices import sign_out_everywhere
from nanobanana.errors import Conflict
from nanobanana.events import UserUpdated
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work


async def send_reset(*, email: str) -> None:
    """Mail a link to choose a new password; without an account, do the same but for the mail."""
    user = await find_user(email)
    token = await issue_link(user or NOBODY, Purpose.RESET)
    if user and user.is_active and token:
        mail.send_reset_link(user, token)


async def reset_password(*, token: str, password: str) -> None:
    """Set a new password by a link's token, and sign all devices out; who was locked out may try again."""
    link = await find_link(token, Purpose.RESET)
    async with _new_password(link.user, link.password, password) as work:
        work.expect_equal(link.password, "encoded", LinkInvalid())
        _use(work, link.key)
        User.objects.update(work, link.user, email_verified=True)


async def set_password(*, user: User, password: str) -> None:
    """The same without a link, for operators; Conflict when the account goes meanwhile."""
    async with _new_password(user, Password(user.id, user.id), password) as work:
        work.expect_exists(user, Conflict())


async def verify_email(*, token: str) -> User:
    """Note that a user's address is proven."""
    link = await find_link(token, Purpose.VERIFY)
    user = link.user
    async with unit_of_work(user.id) as work:
        work.expect_exists(user, LinkInvalid())
        _use(work, link.key)
        if not user.email_verified:
            User.objects.update(work, user, email_verified=True, updated_at=now())
            work.emit(UserUpdated(user_id=user.id), user)
    return user


async def send_verification_again(*, user: User) -> None:
    """Mail another link to a user whose address is not proven yet."""
    if not user.email_verified:
        await send_verification(user)


@asynccontextmanager
async def _new_password(user: User, stored: Password, password: str) -> AsyncIterator[UnitOfWork]:
    """The unit of work that sets a password and signs everybody out; what it rests on is expected inside."""
    await refuse_weak_password(password, email=user.email, username=user.username, field="password")
    encoded = await hash_password(password)
    device_ids = await Device.objects.some_ids(user.id)
    async with unit_of_work(user.id) as work:
        yield work
        Password.objects.update(work, stored, encoded=encoded)
        User.objects.update(work, user, updated_at=now())
        Device.objects.remove_ids(work, "devices", device_ids)
        work.emit(UserUpdated(user_id=user.id), user)
    await sign_out_everywhere(user_id=user.id)  # who came in with the old password in the meantime, too
    await guessing.free(user.email)


def _use(work: UnitOfWork, link_key: str) -> None:
    work.expect_exists(link_key, LinkInvalid())
    work.write("delete", link_key)
