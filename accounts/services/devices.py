"""The devices a user is signed in on, and their ends."""

from accounts.managers import DEVICES_KEPT
from accounts.models import Device, User
from accounts.services.access import Visitor, changes_of
from nanobanana.errors import (
    NotFound,
    TokenInvalid,
)
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import Operation, unit_of_work

NO_DEVICE = "There is no such device."


async def list_devices(*, user: User) -> list[Device]:
    """The user's devices, the one that signed in or refreshed last first."""
    window = Window(limit=DEVICES_KEPT, descending=True)
    return (await Device.objects.apage(user.id, "devices", window)).objects


async def sign_out_device(*, user: User, device_id: str, operation: Operation | None = None) -> None:
    """End the tokens and sockets of one of the user's devices; NotFound when there is none of this id."""
    try:
        device = Device.handle(user.id, device_id)
    except DoesNotExist as error:
        raise NotFound(NO_DEVICE) from error
    async with changes_of(user, operation) as work:
        work.expect_exists(device, NotFound(NO_DEVICE))
        Device.objects.remove_ids(work, "devices", [device.id])
    await Device.objects.say_signed_out(user.id, f"signed-out:{device.id}")


async def sign_out_everywhere(*, user_id: str) -> None:
    """End the tokens and sockets of all devices of the user."""
    while device_ids := await Device.objects.some_ids(user_id):
        await remove_devices(user_id, device_ids)
    await Device.objects.say_signed_out(user_id, "signed-out:*")


async def log_out(*, visitor: Visitor) -> None:
    """Sign this device out: its tokens and sockets end here."""
    async with changes_of(visitor.user) as work:
        Device.objects.remove_ids(work, "devices", [visitor.device_id])
    await Device.objects.say_signed_out(visitor.user.id, f"signed-out:{visitor.device_id}")


async def device_of(*, visitor: Visitor) -> Device:
    try:
        return await Device.objects.aget(visitor.user.id, visitor.device_id)
    except DoesNotExist as error:
        raise TokenInvalid from error


async def remove_devices(user_id: str, device_ids: list[str]) -> None:
    async with unit_of_work(user_id) as work:
        Device.objects.remove_ids(work, "devices", device_ids)
