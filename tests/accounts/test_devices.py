"""GET /api/auth/devices"""

import httpx

from accounts.managers import DEVICE_LIFE, DEVICES_KEPT
from accounts.models import Device
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import close_code, device_id_of, refresh, sign_in
from tests.support.people import Person

FIELDS = {"id", "name", "ip", "createdAt", "lastSeenAt", "current"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


async def ids_listed(alice: Person) -> list[str]:
    return [device["id"] for device in (await alice.get("/api/auth/devices")).json()["devices"]]


async def make_devices(alice: Person, count: int) -> list[str]:
    """Sign so many devices in, oldest first, without the passwords."""
    devices = [Device(alice.id, new_id()) for _ in range(count)]
    for device in devices:
        async with unit_of_work(alice.id) as work:
            Device.objects.create(work, device)
    return [device.id for device in devices]


async def test_it_lists_where_the_account_is_signed_in(alice: Person) -> None:
    answer = await alice.laptop.get("/api/auth/devices")
    assert answer.status_code == 200
    assert answer.json().keys() == {"devices"}
    phone, laptop = answer.json()["devices"]
    assert phone.keys() == laptop.keys() == FIELDS
    assert (laptop["id"], laptop["current"]) == (device_id_of(alice.laptop), True)
    assert (phone["id"], phone["current"]) == (device_id_of(alice.phone), False)
    assert (laptop["ip"], laptop["createdAt"]) == ("127.0.0.1", laptop["lastSeenAt"])


async def test_each_device_is_the_current_one_to_itself(alice: Person) -> None:
    devices = (await alice.phone.get("/api/auth/devices")).json()["devices"]
    assert {device["id"] for device in devices if device["current"]} == {device_id_of(alice.phone)}


async def test_a_device_is_named_after_its_user_agent(anybody: httpx.AsyncClient, alice: Person) -> None:
    anybody.headers["User-Agent"] = FIREFOX
    assert (await sign_in(anybody, alice)).is_success
    [newest, *_] = (await alice.get("/api/auth/devices")).json()["devices"]
    assert newest["name"] == "Firefox on Linux"


async def test_a_stranger_s_devices_are_not_in_it(alice: Person, mallory: Person) -> None:
    assert set(await ids_listed(alice)).isdisjoint(await ids_listed(mallory))
    assert len(await ids_listed(mallory)) == 2


async def test_it_wants_a_token(anybody: httpx.AsyncClient) -> None:
    assert (await anybody.get("/api/auth/devices")).status_code == 401


async def test_no_secret_is_in_it(alice: Person) -> None:
    stored = await Device.objects.aget(alice.id, device_id_of(alice.laptop))
    text = (await alice.get("/api/auth/devices")).text
    assert stored.refresh_id
    assert stored.refresh_id not in text


async def test_a_device_lives_as_long_as_its_refresh_token(anybody: httpx.AsyncClient, alice: Person) -> None:
    key = Device(alice.id, device_id_of(alice.phone)).key
    assert DEVICE_LIFE - 60_000 < await get_client().pttl(key) <= DEVICE_LIFE
    await get_client().pexpire(key, 60_000)
    assert (await refresh(anybody, alice.phone.refresh_token)).is_success
    assert DEVICE_LIFE - 60_000 < await get_client().pttl(key) <= DEVICE_LIFE
    await get_client().pexpire(key, 60_000)
    assert (await alice.phone.post("/api/auth/refresh")).is_success
    assert DEVICE_LIFE - 60_000 < await get_client().pttl(key) <= DEVICE_LIFE


async def test_an_expired_device_is_not_listed_and_forgotten_at_the_next_sign_in(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    phone = Device(alice.id, device_id_of(alice.phone))
    index = Device.indexes[0].key(phone.owner_id)
    await get_client().delete(phone.key)
    await get_client().zadd(index, {phone.id: milliseconds(now()) - DEVICE_LIFE})
    assert await ids_listed(alice) == [device_id_of(alice.laptop)]
    assert (await sign_in(anybody, alice)).is_success
    assert await get_client().zscore(index, phone.id) is None
    assert len(await Device.objects.some_ids(alice.id)) == 2


async def test_a_sign_in_over_the_most_signs_out_the_device_idle_longest(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    assert (await refresh(anybody, alice.laptop.refresh_token)).is_success
    await make_devices(alice, DEVICES_KEPT - 2)
    assert (await sign_in(anybody, alice)).is_success
    assert len(await ids_listed(alice)) == DEVICES_KEPT
    assert device_id_of(alice.laptop) in await ids_listed(alice)
    assert (await alice.phone.get("/api/auth/me")).status_code == 401
    assert await close_code(alice.phone) == 4401
