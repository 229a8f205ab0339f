"""POST /api/auth/register"""

import asyncio
from typing import Any

import httpx
import pytest
from django.conf import settings

from accounts.managers import CLAIM_HELD, UNCONFIRMED_KEPT
from accounts.models import Device, Password, User
from accounts.passwords import hash_password
from accounts.services.sign_ins import _new_device, _store_for_now
from accounts.user_agents import LONGEST_PRODUCT
from nanobanana.errors import ServiceUnavailable
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import is_id, new_id
from nanobanana.redisdb.keys import global_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import bearer, keys_of, lasting_keys_of, registration
from tests.support.people import PASSWORD

USER_FIELDS = {
    "id",
    "email",
    "emailVerified",
    "username",
    "avatar",
    "createdAt",
    "updatedAt",
    "lastLoginAt",
    "isActive",
}


async def register(anybody: httpx.AsyncClient, body: Any) -> httpx.Response:
    return await anybody.post("/api/auth/register", json=body)


async def test_it_answers_with_the_user_and_tokens_that_work(anybody: httpx.AsyncClient, email: str) -> None:
    answer = await register(anybody, registration(email, username="Ann"))
    assert answer.status_code == 201
    content = answer.json()
    assert content.keys() == {"message", "user", "token", "refreshToken", "expiresIn"}
    assert content["user"].keys() == USER_FIELDS
    assert (content["user"]["email"], content["user"]["username"]) == (email, "Ann")
    assert (content["user"]["isActive"], content["user"]["avatar"]) == (True, None)
    assert content["expiresIn"] == settings.JWT_EXPIRES_IN
    me = await anybody.get("/api/auth/me", headers=bearer(content["token"]))
    assert me.json()["user"] == content["user"]


async def test_it_stores_the_account_for_good(anybody: httpx.AsyncClient, email: str) -> None:
    headers = {"User-Agent": "a browser" * 100}
    answer = await anybody.post("/api/auth/register", json=registration(email), headers=headers)
    user_id = answer.json()["user"]["id"]
    assert is_id(user_id)
    user = await User.objects.aget(user_id, user_id)
    assert user.email == email
    assert (await Password.objects.aget(user_id, user_id)).encoded.startswith("argon2$argon2id$")
    [device_id] = await Device.objects.some_ids(user_id)
    device = await Device.objects.aget(user_id, device_id)
    assert (device.name, device.ip) == (("a browser" * 100)[:LONGEST_PRODUCT], "127.0.0.1")
    assert await lasting_keys_of(user_id) == {f"user:{user_id}", f"password:{user_id}", "devices", "log"}
    assert (await keys_of(user_id))[Device(user_id, device_id).key] > UNCONFIRMED_KEPT / 1000
    assert await get_client().get(global_key("email", email)) == user_id
    assert await get_client().ttl(global_key("email", email)) == -1


async def test_nothing_secret_is_in_the_answer(anybody: httpx.AsyncClient, email: str) -> None:
    answer = await register(anybody, registration(email, password="open sesame 42"))
    assert "open sesame" not in answer.text
    assert "argon2" not in answer.text
    assert "password" not in answer.json()["user"]


async def test_two_people_may_have_one_name(anybody: httpx.AsyncClient, email: str) -> None:
    first = await register(anybody, registration(email, username="Twin"))
    second = await register(anybody, registration(f"other-{email}", username="Twin"))
    assert (first.status_code, second.status_code) == (201, 201)


async def test_nobody_sets_what_is_the_server_s(anybody: httpx.AsyncClient, email: str) -> None:
    identifier = new_id()
    body = registration(
        email,
        id=identifier,
        isActive=False,
        is_active=False,
        createdAt="2001-01-01T00:00:00.000Z",
        created_at="2001-01-01T00:00:00.000Z",
        avatar="https://example.com/a.png",
        device_name="x",
        ip="6.6.6.6",
    )
    user = (await register(anybody, body)).json()["user"]
    assert user["id"] != identifier
    assert user["isActive"] is True
    assert user["createdAt"] > "2020"
    assert user["avatar"] is None
    [device_id] = await Device.objects.some_ids(user["id"])
    assert (await Device.objects.aget(user["id"], device_id)).ip == "127.0.0.1"


# ---- the address
@pytest.mark.parametrize(
    "spelling",
    [
        "{name}@Example.COM",
        " {name}@example.com  ",
        "{name}@ｅｘａｍｐｌｅ.com",
        "{name}@example\uff0ecom",  # a full-width full stop
        "\u212aate-{name}@example.com",  # the sign for Kelvin
        "\u017fam-{name}@example.com",  # a long s
    ],
)
async def test_an_address_is_taken_in_every_way_to_write_it(
    anybody: httpx.AsyncClient, email: str, spelling: str
) -> None:
    name = email.partition("@")[0]
    plain = spelling.replace("\u212a", "k").replace("\u017f", "s").partition("@")[0].strip()
    assert (
        await register(anybody, registration(plain.format(name=name) + "@example.com"))
    ).status_code == 201
    again = await register(anybody, registration(spelling.format(name=name)))
    assert again.status_code == 409
    assert again.json()["error"] == "email_taken"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@example",
        "ann example@example.com",
        "ann@exam\u0000ple.com",
        "ann@victim.com\uff20example.com",  # a full-width @ becomes one
        "ann@exa\u2100mple.com",  # a sign that becomes a/c
        "ann@ex ample.com",
        "a" * 255 + "@example.com",
        5,
        True,
        None,
        ["ann@example.com"],
        {"$ne": ""},
    ],
)
async def test_what_is_no_address_is_refused(anybody: httpx.AsyncClient, address: Any) -> None:
    answer = await register(anybody, registration(address))
    assert answer.status_code == 400
    assert answer.json()["error"] == "validation_failed"
    assert answer.json()["details"].keys() == {"email"}


async def test_of_twenty_registrations_at_once_one_succeeds(anybody: httpx.AsyncClient, email: str) -> None:
    spellings = [email.upper(), email.title(), email, email.replace("example", "EXAMPLE")]
    answers = await asyncio.gather(
        *[register(anybody, registration(spellings[number % 4])) for number in range(20)]
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    [winner] = [answer.json()["user"]["id"] for answer in answers if answer.status_code == 201]
    stored = [user.id async for user in User.objects.aiterate() if user.email == email]
    assert stored == [winner]
    assert await get_client().get(global_key("email", email)) == winner


# ---- name and password
@pytest.mark.parametrize(
    ("username", "stored"),
    [
        ("Ann", "Ann"),
        ("  Ann Lee ", "Ann Lee"),
        ("🍌🍌🍌", "🍌🍌🍌"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("🍌" * 30, "🍌" * 30),
        ("王小明", "王小明"),
        ("a" * 30, "a" * 30),
        ("<b>Ann</b>", "<b>Ann</b>"),
    ],
)
async def test_a_name_of_3_to_30_characters_is_taken(
    anybody: httpx.AsyncClient, email: str, username: str, stored: str
) -> None:
    answer = await register(anybody, registration(email, username=username))
    assert answer.status_code == 201
    user_id = answer.json()["user"]["id"]
    assert answer.json()["user"]["username"] == stored
    assert (await User.objects.aget(user_id, user_id)).username == stored


@pytest.mark.parametrize(
    "username",
    [
        "",
        "ab",
        "a  ",
        "   ",
        "🍌🍌",
        "a" * 31,
        "🍌" * 31,
        "An\u0000n",
        "An\nn",
        "An\u202enn",
        "An\u2066n",
        12345,
        True,
        None,
        ["Ann"],
        {"a": 1},
    ],
)
async def test_another_name_is_refused(anybody: httpx.AsyncClient, email: str, username: Any) -> None:
    answer = await register(anybody, registration(email, username=username))
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"username"}
    assert await get_client().exists(global_key("email", email)) == 0


@pytest.mark.parametrize("password", ["x" * 8, "x" * 128, " " * 9, "密码密码密码密码", "🍌" * 8, " padded  "])
async def test_a_password_of_8_to_128_characters_is_taken_as_it_is(
    anybody: httpx.AsyncClient, email: str, password: str
) -> None:
    assert (await register(anybody, registration(email, password=password))).status_code == 201
    for attempt, status in ((password, 200), (password[1:], 401), (password[:-1] + "y", 401)):
        answer = await anybody.post("/api/auth/login", json={"email": email, "password": attempt})
        assert answer.status_code == status


@pytest.mark.parametrize(
    "password", ["", "x" * 7, "x" * 129, "pass\u0000word", 12345678, None, ["password123"]]
)
async def test_another_password_is_refused_and_not_repeated(
    anybody: httpx.AsyncClient, email: str, password: Any
) -> None:
    answer = await register(anybody, registration(email, password=password))
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"password"}
    assert await get_client().exists(global_key("email", email)) == 0


async def test_every_missing_field_is_named(anybody: httpx.AsyncClient) -> None:
    answer = await register(anybody, {})
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"email", "username", "password"}


# ---- a registration that breaks off
def newcomer(email: str) -> User:
    identifier = new_id()
    return User(identifier, identifier, email=email, username="Broken Off")


async def run_out(*keys: str) -> None:
    """Let the life of these keys end."""
    for key in keys:
        assert 0 < await get_client().pttl(key) <= max(CLAIM_HELD, UNCONFIRMED_KEPT)
        await get_client().delete(key)


async def test_a_claim_that_was_left_runs_out(anybody: httpx.AsyncClient, email: str) -> None:
    assert await User.objects.claim_email(email, new_id())
    assert (await register(anybody, registration(email))).status_code == 409
    await run_out(global_key("email", email))
    assert (await register(anybody, registration(email))).status_code == 201


async def test_a_user_left_unconfirmed_runs_out(anybody: httpx.AsyncClient, email: str) -> None:
    user = newcomer(email)
    device = _new_device(user.id, "", "")
    assert await User.objects.claim_email(email, user.id)
    await get_client().set(global_key("email", email), "pending:somebody else", px=CLAIM_HELD)
    with pytest.raises(ServiceUnavailable):
        await _store_for_now(user, await hash_password(PASSWORD), device)
    assert await lasting_keys_of(user.id) == set()
    assert user.key in await keys_of(user.id)
    await run_out(global_key("email", email), user.key, device.key)
    assert (await register(anybody, registration(email))).status_code == 201


async def test_a_confirmed_claim_without_its_user_is_taken_over(
    anybody: httpx.AsyncClient, email: str
) -> None:
    user = newcomer(email)
    device = _new_device(user.id, "", "")
    assert await User.objects.claim_email(email, user.id)
    await _store_for_now(user, await hash_password(PASSWORD), device)
    assert (await register(anybody, registration(email))).status_code == 409
    await run_out(user.key, device.key)
    answer = await register(anybody, registration(email))
    assert answer.status_code == 201
    assert await get_client().get(global_key("email", email)) == answer.json()["user"]["id"]


async def test_signing_in_keeps_an_account_whose_registration_broke_off_at_the_end(
    anybody: httpx.AsyncClient, email: str
) -> None:
    user = newcomer(email)
    assert await User.objects.claim_email(email, user.id)
    await _store_for_now(user, await hash_password(PASSWORD), _new_device(user.id, "", ""))
    assert await lasting_keys_of(user.id) == set()
    answer = await anybody.post("/api/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200
    assert await lasting_keys_of(user.id) >= {f"user:{user.id}", "devices", "log"}
    me = await anybody.get("/api/auth/me", headers=bearer(answer.json()["token"]))
    assert me.json()["user"]["id"] == user.id


async def test_a_claim_can_be_made_confirmed_and_released_twice(email: str, anybody: object) -> None:
    """As when the first answer is lost on the way, and the client of Redis tries again."""
    user_id = new_id()
    assert [await User.objects.claim_email(email, user_id) for _ in range(2)] == [True, True]
    assert [await User.objects.confirm_email(email, user_id) for _ in range(2)] == [True, True]
    assert not await User.objects.confirm_email(email, new_id())
    for _ in range(2):
        await User.objects.release_email(email, user_id)
        assert await User.objects.id_of_email(email) is None


async def test_only_its_holder_releases_an_address(email: str, anybody: object) -> None:
    user_id = new_id()
    await User.objects.claim_email(email, user_id)
    await User.objects.release_email(email, new_id())
    assert await get_client().get(global_key("email", email)) == f"pending:{user_id}"


async def test_what_stands_in_the_way_of_storing_frees_the_address(
    anybody: httpx.AsyncClient, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = new_id()
    async with unit_of_work(taken) as work:
        User.objects.create(work, User(taken, taken, email="x@example.com", username="x"))
    monkeypatch.setattr("accounts.services.sign_ins.new_id", lambda: taken)
    answer = await register(anybody, registration(email))
    assert answer.status_code == 409
    assert await get_client().exists(global_key("email", email)) == 0


async def test_a_megabyte_of_accents_is_refused_at_once(anybody: httpx.AsyncClient) -> None:
    """Normalizing it would take minutes, and the server is there for others meanwhile."""
    body = {
        "email": "a" + "\u0301\u0316" * 200_000 + "@example.com",
        "username": "alice",
        "password": "password123",
    }
    answer = await anybody.post("/api/auth/register", json=body, timeout=5)
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["email"])
