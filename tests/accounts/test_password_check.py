"""Passwords that are refused because they are easy to guess (PASSWORD_CHECK)"""

from typing import Any

import httpx
import pytest

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key
from tests.accounts.conftest import registration
from tests.accounts.test_me import stored_password
from tests.accounts.test_reset import link_of, reset
from tests.support.people import PASSWORD, Person

COMMON = ["password123", "PASSWORD123", " password123 ", "iloveyou", "ｐａｓｓｗｏｒｄ１２３"]


@pytest.fixture
def _passwords_are_checked(settings: Any) -> None:
    settings.PASSWORD_CHECK = True


async def test_the_examples_of_the_seed_work_while_it_is_off(anybody: httpx.AsyncClient, email: str) -> None:
    answer = await anybody.post("/api/auth/register", json=registration(email, password="password123"))
    assert answer.status_code == 201


@pytest.mark.usefixtures("_passwords_are_checked")
@pytest.mark.parametrize("password", COMMON)
async def test_registering_with_a_common_password_is_refused(
    anybody: httpx.AsyncClient, email: str, password: str
) -> None:
    answer = await anybody.post("/api/auth/register", json=registration(email, password=password))
    assert answer.status_code == 400
    assert answer.json()["details"] == {"password": ["This password is too common."]}
    assert await get_client().exists(global_key("email", email)) == 0


@pytest.mark.usefixtures("_passwords_are_checked")
@pytest.mark.parametrize(
    ("password", "like"),
    [
        ("magda.lovelace", "email address"),
        ("lovelace1", "email address"),
        ("MAGDA.LOVELACE@example.com", "email address"),
        ("The Countess", "username"),
        ("countess", "username"),
    ],
)
async def test_registering_with_the_address_or_the_name_is_refused(
    anybody: httpx.AsyncClient, password: str, like: str
) -> None:
    body = registration("magda.lovelace@example.com", username="The Countess", password=password)
    answer = await anybody.post("/api/auth/register", json=body)
    assert answer.status_code == 400
    assert answer.json()["details"] == {"password": [f"The password is too similar to the {like}."]}


@pytest.mark.usefixtures("_passwords_are_checked")
async def test_a_good_password_is_taken(anybody: httpx.AsyncClient, email: str) -> None:
    assert (await anybody.post("/api/auth/register", json=registration(email))).status_code == 201


@pytest.mark.usefixtures("_passwords_are_checked")
async def test_changing_to_a_weak_password_is_refused(alice: Person) -> None:
    before = await stored_password(alice)
    for new in ("password123", alice.email):
        answer = await alice.put("/api/auth/password", {"currentPassword": PASSWORD, "newPassword": new})
        assert answer.status_code == 400
        assert answer.json()["details"].keys() == {"newPassword"}
    assert await stored_password(alice) == before


@pytest.mark.usefixtures("_passwords_are_checked")
async def test_resetting_to_a_weak_password_is_refused_and_leaves_the_link_good(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    token = await link_of(anybody, alice)
    for password in ("password123", alice.email):
        answer = await reset(anybody, token, password)
        assert (answer.status_code, answer.json()["details"].keys()) == (400, {"password"})
    assert (await reset(anybody, token)).status_code == 200


@pytest.mark.usefixtures("_passwords_are_checked")
async def test_who_has_a_weak_password_already_still_signs_in(
    anybody: httpx.AsyncClient, email: str, settings: Any
) -> None:
    settings.PASSWORD_CHECK = False
    await anybody.post("/api/auth/register", json=registration(email, password="password123"))
    settings.PASSWORD_CHECK = True
    answer = await anybody.post("/api/auth/login", json={"email": email, "password": "password123"})
    assert answer.status_code == 200


# ---- length, in the form that is compared
@pytest.mark.parametrize("password", ["e\u0301" * 128, "\u1112\u1161\u11ab" * 128, "🍌" * 128])
async def test_what_is_typed_in_parts_may_be_as_long(
    anybody: httpx.AsyncClient, email: str, password: str
) -> None:
    answer = await anybody.post("/api/auth/register", json=registration(email, password=password))
    assert answer.status_code == 201
    answer = await anybody.post("/api/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200


@pytest.mark.parametrize("password", ["e\u0301" * 7, "e\u0301" * 129, "\ufdfa" * 8, "x" * 600])
async def test_what_is_too_short_or_too_long_in_the_end_is_refused(
    anybody: httpx.AsyncClient, email: str, password: str
) -> None:
    answer = await anybody.post("/api/auth/register", json=registration(email, password=password))
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"password"}
