"""DELETE /api/auth/devices/:id"""

import httpx

from accounts.models import Device
from tests.accounts.conftest import assert_signed_out, close_code, device_id_of
from tests.support.people import Person
from tests.support.strangers import assert_private


async def test_it_signs_that_device_out_and_no_other(anybody: httpx.AsyncClient, alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    for device in (alice.laptop, alice.phone):
        await device.listen(session_id)
    answer = await alice.laptop.delete(f"/api/auth/devices/{device_id_of(alice.phone)}")
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    await assert_signed_out(anybody, alice.phone.token, alice.phone.refresh_token)
    assert await close_code(alice.phone) == 4401
    assert await alice.laptop.heard() == []
    assert await Device.objects.some_ids(alice.id) == [device_id_of(alice.laptop)]


async def test_a_device_may_sign_itself_out(anybody: httpx.AsyncClient, alice: Person) -> None:
    assert (await alice.phone.delete(f"/api/auth/devices/{device_id_of(alice.phone)}")).status_code == 200
    await assert_signed_out(anybody, alice.phone.token, alice.phone.refresh_token)


async def test_a_device_that_was_signed_out_is_absent(alice: Person) -> None:
    path = f"/api/auth/devices/{device_id_of(alice.phone)}"
    assert (await alice.laptop.delete(path)).status_code == 200
    again = await alice.laptop.delete(path)
    assert (again.status_code, again.json()["error"]) == (404, "not_found")


async def test_nobody_signs_a_stranger_s_device_out(alice: Person, mallory: Person) -> None:
    identifier = device_id_of(alice.phone)
    await assert_private(alice, mallory, "DELETE", f"/api/auth/devices/{identifier}", identifier)
    assert (await alice.phone.get("/api/auth/me")).status_code == 200
