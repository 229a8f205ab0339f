"""POST /api/auth/logout-all"""

import httpx

from accounts.models import Device
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import assert_signed_in, assert_signed_out, close_code, sign_in
from tests.support.people import Person


async def test_it_signs_every_device_out_this_one_too(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    session_id = (await alice.make_session())["id"]
    for device in (alice.laptop, alice.phone):
        await device.listen(session_id)
    answer = await alice.laptop.post("/api/auth/logout-all")
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    for device in (alice.laptop, alice.phone):
        await assert_signed_out(anybody, device.token, device.refresh_token)
        assert await close_code(device) == 4401
    assert await Device.objects.some_ids(alice.id) == []
    await assert_signed_in(anybody, mallory.laptop.token)


async def test_the_account_can_sign_in_again(anybody: httpx.AsyncClient, alice: Person) -> None:
    await alice.post("/api/auth/logout-all")
    await assert_signed_in(anybody, (await sign_in(anybody, alice)).json()["token"])


async def test_more_devices_than_go_at_once_are_signed_out_too(alice: Person) -> None:
    devices = [Device(alice.id, new_id()) for _ in range(1050)]
    async with unit_of_work(alice.id) as work:
        for device in devices:
            Device.objects.create(work, device)
    assert (await alice.post("/api/auth/logout-all")).status_code == 200
    assert (await Device.objects.aget_many(alice.id, [device.id for device in devices])).objects == []


async def test_it_wants_a_token(anybody: httpx.AsyncClient) -> None:
    assert (await anybody.post("/api/auth/logout-all")).status_code == 401
