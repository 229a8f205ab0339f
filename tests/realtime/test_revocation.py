"""Devices that are signed out lose their sockets on every process, soon."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from accounts.models import Device, User
from accounts.services.profile import deactivate_account
from accounts.tokens import read_access_token
from nanobanana.redisdb.client import get_client
from tests.realtime.conftest import Client
from tests.support.people import Person

SECONDS_TO_CLOSE = 2
SignOut = Callable[[Person, Client], Awaitable[object]]


async def close_code_soon(client: Client) -> int | None:
    assert client.socket
    await asyncio.wait_for(client.socket.wait_closed(), SECONDS_TO_CLOSE)
    return client.socket.close_code


async def revoke(alice: Person, tablet: Client) -> None:
    device_id = read_access_token(tablet.token).device_id
    await alice.laptop.delete(f"/api/auth/devices/{device_id}")


async def replay_a_refresh_token(alice: Person, tablet: Client) -> None:
    body = {"refreshToken": tablet.refresh_token}
    assert (await alice.laptop.post("/api/auth/refresh", body)).is_success
    device = Device(alice.id, read_access_token(tablet.token).device_id)
    await get_client().hset(device.key, "rotated_at", 0)
    assert (await alice.laptop.post("/api/auth/refresh", body)).status_code == 401


@pytest.mark.parametrize("sign_out", [revoke, replay_a_refresh_token])
async def test_one_device_is_closed_on_another_process_and_the_others_stay(
    alice: Person, tablet: Client, session_id: str, sign_out: SignOut
) -> None:
    for device in (alice.laptop, alice.phone, tablet):
        await device.listen(session_id)
    await sign_out(alice, tablet)
    assert await close_code_soon(tablet) == 4401
    assert await alice.laptop.heard() == []
    assert await alice.phone.heard() == []
    assert (await tablet.get("/api/auth/me")).status_code == 401


async def log_out_everywhere(alice: Person, tablet: Client) -> None:
    await alice.laptop.post("/api/auth/logout-all")


async def deactivate(alice: Person, tablet: Client) -> None:
    await deactivate_account(user=await User.objects.aget(alice.id, alice.id))


@pytest.mark.parametrize("sign_out", [log_out_everywhere, deactivate])
async def test_every_device_is_closed_on_every_process_and_a_stranger_s_stays(
    alice: Person, mallory: Person, tablet: Client, session_id: str, sign_out: SignOut
) -> None:
    await mallory.phone.listen((await mallory.make_session())["id"])
    devices = (alice.laptop, alice.phone, tablet)
    for device in devices:
        await device.listen(session_id)
    await sign_out(alice, tablet)
    for device in devices:
        assert await close_code_soon(device) == 4401
        assert (await device.get("/api/auth/me")).status_code == 401
    assert await mallory.phone.heard() == []
