"""POST /api/auth/refresh: a refresh token is good once, and tells when two hold it."""

import asyncio
from datetime import timedelta

import httpx

from accounts.models import Device
from accounts.services.sign_ins import GRACE
from accounts.tokens import read_access_token, read_refresh_token
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import milliseconds, now
from tests.accounts.conftest import (
    assert_signed_in,
    assert_signed_out,
    close_code,
    device_id_of,
    refresh,
)
from tests.support import people
from tests.support.people import PASSWORD, Person

A_MOMENT = timedelta(seconds=2)


async def stored(device: people.Device) -> Device:
    return await Device.objects.aget(device.user_id, device_id_of(device))


async def let_pass(device: people.Device, span: timedelta) -> None:
    """Have the latest rotation of this device be so long ago."""
    moment = milliseconds(now() - span)
    await get_client().hset((await stored(device)).key, "rotated_at", moment)


async def test_it_gives_new_tokens_of_the_same_device(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await refresh(anybody, alice.phone.refresh_token)
    assert answer.status_code == 200
    content = answer.json()
    assert content.keys() == {"message", "token", "refreshToken", "expiresIn"}
    assert content["refreshToken"] != alice.phone.refresh_token
    assert read_access_token(content["token"]).device_id == device_id_of(alice.phone)
    assert read_refresh_token(content["refreshToken"]).token_id == (await stored(alice.phone)).refresh_id
    for token in (content["token"], alice.phone.token, alice.laptop.token):
        await assert_signed_in(anybody, token)


async def test_each_token_leads_to_the_next(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = alice.phone.refresh_token
    seen = {token}
    for _ in range(5):
        token = (await refresh(anybody, token)).json()["refreshToken"]
        seen.add(token)
    assert len(seen) == 6
    assert len(await Device.objects.some_ids(alice.id)) == 2


async def test_of_many_refreshes_at_once_one_rotates(anybody: httpx.AsyncClient, alice: Person) -> None:
    before = (await stored(alice.phone)).refresh_id
    answers = await asyncio.gather(*[refresh(anybody, alice.phone.refresh_token) for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}
    after = await stored(alice.phone)
    assert after.previous_refresh_id == before
    given = {read_refresh_token(answer.json()["refreshToken"]).token_id for answer in answers}
    assert given == {after.refresh_id}
    for answer in answers:
        await assert_signed_in(anybody, answer.json()["token"])


async def test_a_retry_within_the_grace_goes_on_with_the_same_family(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    first = (await refresh(anybody, alice.phone.refresh_token)).json()
    await let_pass(alice.phone, GRACE - A_MOMENT)
    retry = await refresh(anybody, alice.phone.refresh_token)
    assert retry.status_code == 200
    tokens = [read_refresh_token(each["refreshToken"]).token_id for each in (first, retry.json())]
    assert tokens == [(await stored(alice.phone)).refresh_id] * 2
    assert (await refresh(anybody, retry.json()["refreshToken"])).status_code == 200


async def test_a_replay_after_the_grace_ends_the_whole_family(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    session_id = (await alice.make_session())["id"]
    for device in (alice.laptop, alice.phone):
        await device.listen(session_id)
    current = (await refresh(anybody, alice.phone.refresh_token)).json()
    await let_pass(alice.phone, GRACE + A_MOMENT)
    replay = await refresh(anybody, alice.phone.refresh_token)
    assert (replay.status_code, replay.json()["error"]) == (401, "token_invalid")
    await assert_signed_out(anybody, current["token"], current["refreshToken"])
    await assert_signed_out(anybody, alice.phone.token, alice.phone.refresh_token)
    assert await close_code(alice.phone) == 4401
    assert await alice.laptop.heard() == []
    assert (await refresh(anybody, alice.laptop.refresh_token)).status_code == 200
    assert await Device.objects.some_ids(alice.id) == [device_id_of(alice.laptop)]


async def test_a_token_two_rotations_old_has_no_grace(anybody: httpx.AsyncClient, alice: Person) -> None:
    second = (await refresh(anybody, alice.phone.refresh_token)).json()
    third = (await refresh(anybody, second["refreshToken"])).json()
    assert (await refresh(anybody, alice.phone.refresh_token)).status_code == 401
    await assert_signed_out(anybody, third["token"], third["refreshToken"])


async def test_many_replays_at_once_are_all_refused_alike(anybody: httpx.AsyncClient, alice: Person) -> None:
    await refresh(anybody, alice.phone.refresh_token)
    await let_pass(alice.phone, GRACE + A_MOMENT)
    answers = await asyncio.gather(*[refresh(anybody, alice.phone.refresh_token) for _ in range(10)])
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {(401, "token_invalid")}


async def test_a_changed_password_takes_the_old_refresh_token_out_of_use(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "a better horse battery"}
    content = (await alice.laptop.put("/api/auth/password", body)).json()
    renewed = (await refresh(anybody, content["refreshToken"])).json()
    assert (await refresh(anybody, alice.laptop.refresh_token)).status_code == 401
    await assert_signed_out(anybody, renewed["token"], renewed["refreshToken"])


async def test_the_access_token_alone_gives_another_one(anybody: httpx.AsyncClient, alice: Person) -> None:
    before = await stored(alice.phone)
    answer = await alice.phone.post("/api/auth/refresh")
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "token"}
    assert answer.json()["token"] != alice.phone.token
    await assert_signed_in(anybody, answer.json()["token"])
    assert (await stored(alice.phone)).refresh_id == before.refresh_id
    assert (await refresh(anybody, alice.phone.refresh_token)).status_code == 200
