"""POST /api/auth/password/reset"""

import asyncio
from typing import Any

import httpx
import pytest

from accounts.guessing import TRIES_FOR_ADDRESS
from accounts.models import Device, User
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import assert_signed_in, assert_signed_out, close_code, keys_of, sign_in
from tests.accounts.mails import token_mailed_to
from tests.accounts.test_me import events_of, stored
from tests.support.people import PASSWORD, Person

NEW = "a better horse battery"


async def link_of(anybody: httpx.AsyncClient, person: Person, *, number: int = 1) -> str:
    await anybody.post("/api/auth/password/forgot", json={"email": person.email})
    return await token_mailed_to(person.email, "reset-password", number=number)


async def reset(anybody: httpx.AsyncClient, token: Any, password: Any = NEW) -> httpx.Response:
    return await anybody.post("/api/auth/password/reset", json={"token": token, "password": password})


def assert_no_link(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
    assert answer.json()["details"].keys() == {"token"}


async def test_only_the_new_password_signs_in(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await reset(anybody, await link_of(anybody, alice))
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    assert (await sign_in(anybody, alice, PASSWORD)).status_code == 401
    assert (await sign_in(anybody, alice, NEW)).status_code == 200


async def test_it_signs_every_device_out(anybody: httpx.AsyncClient, alice: Person) -> None:
    await alice.laptop.listen((await alice.make_session())["id"])
    await reset(anybody, await link_of(anybody, alice))
    for device in (alice.laptop, alice.phone):
        await assert_signed_out(anybody, device.token, device.refresh_token)
    assert await close_code(alice.laptop) == 4401
    assert await Device.objects.some_ids(alice.id) == []
    assert await events_of(alice) == ["session_created", "user_updated"]


async def test_it_proves_the_address(anybody: httpx.AsyncClient, alice: Person) -> None:
    await reset(anybody, await link_of(anybody, alice))
    assert (await stored(alice)).email_verified


async def test_a_link_works_once(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await link_of(anybody, alice)
    await reset(anybody, token)
    assert_no_link(await reset(anybody, token, "yet another password"))
    assert (await sign_in(anybody, alice, NEW)).status_code == 200


async def test_of_ten_uses_at_once_one_wins_whole(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await link_of(anybody, alice)
    passwords = [f"choice number {number}" for number in range(10)]
    answers = await asyncio.gather(*[reset(anybody, token, password) for password in passwords])
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    [winner] = [new for answer, new in zip(answers, passwords, strict=True) if answer.is_success]
    assert (await sign_in(anybody, alice, winner)).status_code == 200


async def test_it_makes_the_other_links_void(anybody: httpx.AsyncClient, alice: Person) -> None:
    first = await link_of(anybody, alice)
    second = await link_of(anybody, alice, number=2)
    assert (await reset(anybody, second)).status_code == 200
    assert_no_link(await reset(anybody, first, "yet another password"))


async def test_a_change_of_the_password_makes_links_void(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await link_of(anybody, alice)
    await alice.put("/api/auth/password", {"currentPassword": PASSWORD, "newPassword": "chosen meanwhile"})
    assert_no_link(await reset(anybody, token))
    assert (await sign_in(anybody, alice, "chosen meanwhile")).status_code == 200


async def test_a_link_ends_after_an_hour(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await link_of(anybody, alice)
    [key] = [key for key in await keys_of(alice.id) if ":reset:" in key and not key.endswith(":count")]
    assert 3500 < await get_client().ttl(key) <= 3600
    await get_client().pexpire(key, 1)
    await asyncio.sleep(0.01)
    assert_no_link(await reset(anybody, token))


async def test_a_refused_password_leaves_the_link_good(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await link_of(anybody, alice)
    for password in ("short", "x" * 129, None, 12345678):
        answer = await reset(anybody, token, password)
        assert (answer.status_code, answer.json()["details"].keys()) == (400, {"password"})
    assert (await reset(anybody, token)).status_code == 200


async def test_who_was_locked_out_may_try_again_from_everywhere(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    for _ in range(TRIES_FOR_ADDRESS):
        await sign_in(anybody, alice, "not the password")
    assert (await sign_in(anybody, alice)).status_code == 429
    await reset(anybody, await link_of(anybody, alice))
    answer = await sign_in(anybody, alice, NEW)
    assert answer.status_code == 200
    await assert_signed_in(anybody, answer.json()["token"])


async def test_a_link_of_one_account_is_nothing_to_another(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    secret = (await link_of(anybody, mallory)).partition(".")[2]
    assert_no_link(await reset(anybody, f"{alice.id}.{secret}"))
    assert (await sign_in(anybody, alice, PASSWORD)).status_code == 200


async def test_a_link_to_verify_resets_nothing(anybody: httpx.AsyncClient, alice: Person) -> None:
    assert_no_link(await reset(anybody, await token_mailed_to(alice.email, "verify-email")))


async def test_a_link_of_a_deleted_or_inactive_account_is_void(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    tokens = [await link_of(anybody, alice), await link_of(anybody, mallory)]
    await alice.delete("/api/auth/me", {"password": PASSWORD})
    async with unit_of_work(mallory.id) as work:
        User.objects.update(work, User(mallory.id, mallory.id), is_active=False)
    for token in tokens:
        assert_no_link(await reset(anybody, token))
    assert await get_client().exists(owner_key(alice.id, "user", alice.id)) == 0


@pytest.mark.parametrize(
    "token",
    [None, "", 5, "nonsense", ".", f"{'0' * 26}.x", "01ARZ3NDEKTSV4RRFFQ69G5FAV.", "*.*", "x" * 129, ["a.b"]],
)
async def test_what_is_no_token_is_refused(anybody: httpx.AsyncClient, token: Any) -> None:
    assert_no_link(await reset(anybody, token))
