"""What users change of themselves, and whether they may come in at all."""

from typing import Any

from accounts import guessing
from accounts.models import Device, Password, User
from accounts.passwords import hash_password, refuse_weak_password, verify_password
from accounts.services.access import Visitor, changes_of
from accounts.services.devices import device_of, remove_devices, sign_out_everywhere
from accounts.services.sign_ins import SignIn, sign_in_of
from nanobanana.errors import CredentialsWrong
from nanobanana.events import UserUpdated
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.unit_of_work import Operation


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
    stored = await confirm_password(visitor=visitor, password=current_password, ip=ip)
    await refuse_weak_password(new_password, email=user.email, username=user.username, field="newPassword")
    encoded = await hash_password(new_password)
    device = await device_of(visitor=visitor)
    others = await _other_devices(visitor)
    async with changes_of(user) as work:
        work.expect_equal(stored, "encoded")
        Password.objects.update(work, stored, encoded=encoded)
        User.objects.update(work, user, updated_at=now())
        Device.objects.remove_ids(work, "devices", others)
        Device.objects.rotate(work, device)
        work.emit(UserUpdated(user_id=user.id), user)
    while others := await _other_devices(visitor):  # who came in with the old password in the meantime
        await remove_devices(user.id, others)
    await Device.objects.say_signed_out(user.id, f"signed-out-except:{visitor.device_id}")
    return sign_in_of(user, device)


async def confirm_password(*, visitor: Visitor, password: str, ip: str) -> Password:
    """The stored hash, which this password fits; CredentialsWrong when it does not."""
    user = visitor.user
    async with guessing.one_try(email=user.email, ip=ip, device_id=visitor.device_id):
        stored = await Password.objects.find(user.id)
        if not await verify_password(password, stored.encoded if stored else None) or stored is None:
            raise CredentialsWrong("The current password is wrong.")
    return stored


async def deactivate_account(*, user: User) -> None:
    """Shut the user out until `activate_account`: all devices are signed out, what the user has stays."""
    await _set_active(user, False)
    await sign_out_everywhere(user_id=user.id)


async def activate_account(*, user: User) -> None:
    """Let the user sign in again."""
    await _set_active(user, True)


async def _other_devices(visitor: Visitor) -> list[str]:
    return [each for each in await Device.objects.some_ids(visitor.user.id) if each != visitor.device_id]


async def _set_active(user: User, is_active: bool) -> None:
    async with changes_of(user) as work:
        User.objects.update_if_different(work, user, {"is_active": is_active})
        User.objects.update(work, user, updated_at=now())
        work.emit(UserUpdated(user_id=user.id), user)
