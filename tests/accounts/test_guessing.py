"""Protection against guessing passwords: who is stopped, when, and for how long; and who is not."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import ConnectionError

from accounts.guessing import LONGEST_LOCK, TRIES_FOR_ADDRESS, TRIES_FROM_IP, WINDOW, one_try
from nanobanana.errors import CredentialsWrong
from nanobanana.redisdb import client
from nanobanana.redisdb.keys import global_key
from tests.accounts.conftest import bearer, registration
from tests.redisdb.support import speaking_to
from tests.support.limits import new_ip, trust
from tests.support.people import PASSWORD, Person

WRONG = "not the password"


@pytest.fixture(autouse=True)
def _anybody_may_say_where_they_are(settings: Any) -> None:
    trust(settings, "127.0.0.0/8")


async def try_password(
    anybody: httpx.AsyncClient, email: str, password: str, ip: str, token: str = ""
) -> httpx.Response:
    headers = {"X-Forwarded-For": ip, **(bearer(token) if token else {})}
    body = {"email": email, "password": password}
    return await anybody.post("/api/auth/login", json=body, headers=headers)


async def lock_out(anybody: httpx.AsyncClient, email: str, ip: str) -> None:
    for _ in range(TRIES_FOR_ADDRESS):
        assert (await try_password(anybody, email, WRONG, ip)).status_code == 401


def assert_locked(answer: httpx.Response, milliseconds: int = WINDOW) -> None:
    assert (answer.status_code, answer.json()["error"]) == (429, "too_many_requests")
    assert milliseconds / 1000 - 60 < int(answer.headers["Retry-After"]) <= milliseconds / 1000


async def let_time_pass(ip: str) -> None:
    """End the lock and the window, as if it were that much later; what is remembered of the lock stays."""
    redis = client.get_client()
    for key in await counters_at(ip):
        if key.endswith(":lock"):
            await redis.hset(key, "ends", 0)
        else:
            await redis.delete(key)


async def counters_at(ip: str) -> list[str]:
    pattern = global_key("guesses", "*", ip, "*")
    return [key async for key in client.get_client().scan_iter(pattern, count=10_000)]


# ---- an account and an IP
async def test_after_five_failures_even_the_right_password_waits(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await lock_out(anybody, alice.email, ip := new_ip())
    assert_locked(await try_password(anybody, alice.email, WRONG, ip))
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))


async def test_an_unknown_address_is_counted_just_so(anybody: httpx.AsyncClient, email: str) -> None:
    await lock_out(anybody, email, ip := new_ip())
    assert_locked(await try_password(anybody, email, WRONG, ip))


async def test_every_way_to_write_the_address_counts(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip, (name, _, domain) = new_ip(), alice.email.partition("@")
    wide = f"{name}@ｅｘａｍｐｌｅ.com"
    for spelling in (alice.email, alice.email.upper(), f" {alice.email}", wide, f"{name}@{domain.title()}"):
        assert (await try_password(anybody, spelling, WRONG, ip)).status_code == 401
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))


async def test_a_success_clears_the_count(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip = new_ip()
    for _ in range(3):
        for _ in range(TRIES_FOR_ADDRESS - 1):
            assert (await try_password(anybody, alice.email, WRONG, ip)).status_code == 401
        assert (await try_password(anybody, alice.email, PASSWORD, ip)).status_code == 200


async def test_of_fifty_at_once_exactly_five_are_checked(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip = new_ip()
    answers = await asyncio.gather(*[try_password(anybody, alice.email, WRONG, ip) for _ in range(50)])
    assert Counter(answer.status_code for answer in answers) == {401: TRIES_FOR_ADDRESS, 429: 45}
    for answer in answers:
        if answer.status_code == 429:
            assert_locked(answer)


async def test_right_passwords_at_once_all_pass(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip = new_ip()
    answers = await asyncio.gather(*[try_password(anybody, alice.email, PASSWORD, ip) for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}


async def test_the_wait_doubles_up_to_an_hour(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip = new_ip()
    for wait in (WINDOW, 2 * WINDOW, LONGEST_LOCK, LONGEST_LOCK):
        await lock_out(anybody, alice.email, ip)
        assert_locked(await try_password(anybody, alice.email, PASSWORD, ip), wait)
        await let_time_pass(ip)


async def test_a_success_makes_waits_short_again(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip = new_ip()
    await lock_out(anybody, alice.email, ip)
    await let_time_pass(ip)
    assert (await try_password(anybody, alice.email, PASSWORD, ip)).status_code == 200
    await lock_out(anybody, alice.email, ip)
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip), WINDOW)


async def test_what_is_counted_goes_by_itself(anybody: httpx.AsyncClient, alice: Person) -> None:
    await lock_out(anybody, alice.email, ip := new_ip())
    lives = [await client.get_client().pttl(key) for key in await counters_at(ip)]
    assert lives
    assert all(0 < life <= LONGEST_LOCK + 86_400_000 for life in lives)


async def test_a_body_that_is_no_try_does_not_count(anybody: httpx.AsyncClient, alice: Person) -> None:
    ip = new_ip()
    for _ in range(TRIES_FOR_ADDRESS + 1):
        assert (await try_password(anybody, alice.email, "", ip)).status_code == 400
    assert (await try_password(anybody, alice.email, PASSWORD, ip)).status_code == 200


# ---- an IP
async def test_of_sixty_addresses_at_once_from_one_ip_exactly_fifty_are_checked(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    ip = new_ip()
    tries = [try_password(anybody, f"n{number}-{alice.email}", WRONG, ip) for number in range(60)]
    answers = await asyncio.gather(*tries)
    assert Counter(answer.status_code for answer in answers) == {401: TRIES_FROM_IP, 429: 10}
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))
    assert (await try_password(anybody, alice.email, PASSWORD, new_ip())).status_code == 200


async def test_success_with_one_s_own_account_buys_no_guesses(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    ip = new_ip()
    for number in range(TRIES_FROM_IP):
        if number % 4 == 0:
            assert (await try_password(anybody, mallory.email, PASSWORD, ip)).status_code == 200
        assert (await try_password(anybody, f"n{number}-{alice.email}", WRONG, ip)).status_code == 401
    assert_locked(await try_password(anybody, mallory.email, PASSWORD, ip))


async def test_an_ipv6_network_is_one_source(anybody: httpx.AsyncClient, alice: Person) -> None:
    for host in range(TRIES_FOR_ADDRESS):
        assert (await try_password(anybody, alice.email, WRONG, f"2001:db8:1:2::{host:x}")).status_code == 401
    assert_locked(await try_password(anybody, alice.email, PASSWORD, "2001:db8:1:2:ffff::1"))
    assert (await try_password(anybody, alice.email, PASSWORD, "2001:db8:1:3::1")).status_code == 200


# ---- the owner
async def test_a_stranger_elsewhere_does_not_lock_the_owner_out(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await lock_out(anybody, alice.email, new_ip())
    assert (await try_password(anybody, alice.email, PASSWORD, new_ip())).status_code == 200


async def test_nor_do_many_strangers_from_everywhere(anybody: httpx.AsyncClient, alice: Person) -> None:
    places = [new_ip() for _ in range(30)]
    await asyncio.gather(*[lock_out(anybody, alice.email, place) for place in places])
    for place in places:
        assert_locked(await try_password(anybody, alice.email, PASSWORD, place))
    assert (await try_password(anybody, alice.email, PASSWORD, new_ip())).status_code == 200


async def test_nor_does_a_stranger_at_the_owner_s_own_ip(anybody: httpx.AsyncClient, alice: Person) -> None:
    """The owner's device shows the token it has."""
    ip = new_ip()
    await lock_out(anybody, alice.email, ip)
    for number in range(TRIES_FROM_IP - TRIES_FOR_ADDRESS):
        await try_password(anybody, f"n{number}-{alice.email}", WRONG, ip)
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))
    answer = await try_password(anybody, alice.email, PASSWORD, ip, alice.phone.token)
    assert answer.status_code == 200


async def test_a_device_of_somebody_else_or_signed_out_is_a_stranger(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    await alice.phone.post("/api/auth/logout")
    await lock_out(anybody, alice.email, ip := new_ip())
    for token in (mallory.laptop.token, alice.phone.token, alice.laptop.refresh_token, "nonsense"):
        assert_locked(await try_password(anybody, alice.email, PASSWORD, ip, token))


async def test_a_known_device_does_not_guess_for_ever_either(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    ip, token = new_ip(), alice.phone.token
    for _ in range(TRIES_FOR_ADDRESS):
        assert (await try_password(anybody, alice.email, WRONG, ip, token)).status_code == 401
    assert_locked(await try_password(anybody, alice.email, PASSWORD, new_ip(), token))
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))
    assert (await try_password(anybody, alice.email, PASSWORD, new_ip())).status_code == 200


# ---- the current password
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/auth/password", {"currentPassword": WRONG, "newPassword": "a better horse battery"}),
        ("DELETE", "/api/auth/me", {"password": WRONG}),
    ],
)
async def test_a_wrong_current_password_counts_too(
    anybody: httpx.AsyncClient, alice: Person, method: str, path: str, body: dict[str, str]
) -> None:
    headers = {"X-Forwarded-For": (ip := new_ip())}
    for _ in range(TRIES_FOR_ADDRESS):
        answer = await alice.laptop.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "wrong_credentials")
    right = {name: value.replace(WRONG, PASSWORD) for name, value in body.items()}
    assert_locked(await alice.laptop.request(method, path, json=right, headers=headers))
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))
    assert (await alice.phone.request(method, path, json=right, headers=headers)).status_code == 200


async def test_a_stranger_at_the_owner_s_ip_does_not_keep_the_password_from_being_changed(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await lock_out(anybody, alice.email, ip := new_ip())
    body = {"currentPassword": PASSWORD, "newPassword": "a better horse battery"}
    answer = await alice.laptop.request(
        "PUT", "/api/auth/password", json=body, headers={"X-Forwarded-For": ip}
    )
    assert answer.status_code == 200


# ---- trouble
async def test_it_stays_on_when_rate_limits_are_off(
    anybody: httpx.AsyncClient, alice: Person, settings: Any
) -> None:
    assert settings.RATE_LIMIT_MAX_REQUESTS == 0
    await lock_out(anybody, alice.email, ip := new_ip())
    assert_locked(await try_password(anybody, alice.email, PASSWORD, ip))


async def test_a_try_that_could_not_be_checked_does_not_count(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip = new_ip()
    with monkeypatch.context() as full:
        full.setattr("accounts.passwords._pool.room", 0)
        for _ in range(TRIES_FOR_ADDRESS + 1):
            assert (await try_password(anybody, alice.email, WRONG, ip)).status_code == 503
    assert (await try_password(anybody, alice.email, PASSWORD, ip)).status_code == 200


async def test_without_redis_nobody_gets_to_try(
    anybody: httpx.AsyncClient, alice: Person, tmp_path: Path
) -> None:
    async with speaking_to(f"unix://{tmp_path}/nobody.sock"):
        answer = await try_password(anybody, alice.email, PASSWORD, new_ip())
        assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
        assert "Retry-After" in answer.headers
        with pytest.raises(ConnectionError):
            async with one_try(email=alice.email, ip=new_ip()):
                pytest.fail("The password would be checked.")


async def test_a_failure_that_cannot_be_counted_is_not_told(alice: Person, tmp_path: Path) -> None:
    async def guess(outage: AsyncExitStack) -> None:
        async with one_try(email=alice.email, ip=new_ip()):
            await outage.enter_async_context(speaking_to(f"unix://{tmp_path}/nobody.sock"))
            raise CredentialsWrong

    async with AsyncExitStack() as outage:
        with pytest.raises(ConnectionError):
            await guess(outage)


async def test_registering_is_no_try(anybody: httpx.AsyncClient, alice: Person) -> None:
    headers = {"X-Forwarded-For": (ip := new_ip())}
    for _ in range(TRIES_FOR_ADDRESS + 1):
        body = registration(alice.email)
        assert (await anybody.post("/api/auth/register", json=body, headers=headers)).status_code == 409
    assert (await try_password(anybody, alice.email, PASSWORD, ip)).status_code == 200
