"""POST /api/auth/logout"""

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from accounts.models import Device
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import owner_key
from tests.accounts.conftest import sign_in
from tests.support.people import Person


async def test_it_ends_this_device_and_no_other(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await alice.phone.post("/api/auth/logout")
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    assert (await alice.phone.get("/api/auth/me")).json()["error"] == "token_invalid"
    assert (await alice.laptop.get("/api/auth/me")).status_code == 200
    [left] = await Device.objects.some_ids(alice.id)
    assert await get_client().exists(owner_key(alice.id, "device", left)) == 1


async def test_its_socket_is_closed(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    await alice.phone.listen(session_id)
    await alice.laptop.listen(session_id)
    await alice.phone.post("/api/auth/logout")
    with pytest.raises(ConnectionClosed) as closed:
        await alice.phone.next_frame()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4401
    assert await alice.laptop.heard() == []


async def test_who_is_signed_out_cannot_sign_out_again(alice: Person) -> None:
    await alice.phone.post("/api/auth/logout")
    assert (await alice.phone.post("/api/auth/logout")).status_code == 401


async def test_a_stranger_is_refused(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await anybody.post("/api/auth/logout")
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert len(await Device.objects.some_ids(alice.id)) == 2


async def test_nobody_else_is_signed_out(anybody: httpx.AsyncClient, alice: Person, mallory: Person) -> None:
    await mallory.post("/api/auth/logout", {"deviceId": alice.id, "userId": alice.id})
    assert (await alice.laptop.get("/api/auth/me")).status_code == 200
    assert (await alice.phone.get("/api/auth/me")).status_code == 200


async def test_the_account_is_open_to_another_sign_in(anybody: httpx.AsyncClient, alice: Person) -> None:
    for device in (alice.laptop, alice.phone):
        await device.post("/api/auth/logout")
    assert await Device.objects.some_ids(alice.id) == []
    assert (await sign_in(anybody, alice)).status_code == 200
