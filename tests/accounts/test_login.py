"""POST /api/auth/login"""

import asyncio
from typing import Any

import httpx
import pytest

from accounts.models import Device, User
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import bearer, registration, sign_in
from tests.support.people import PASSWORD, Person


async def test_it_signs_another_device_in(anybody: httpx.AsyncClient, alice: Person) -> None:
    before = await Device.objects.some_ids(alice.id)
    answer = await sign_in(anybody, alice)
    assert answer.status_code == 200
    content = answer.json()
    assert content.keys() == {"message", "user", "token", "refreshToken", "expiresIn"}
    assert content["user"]["id"] == alice.id
    assert "argon2" not in answer.text
    [new] = set(await Device.objects.some_ids(alice.id)) - set(before)
    assert len(before) == 2
    assert (await Device.objects.aget(alice.id, new)).name.startswith("python-httpx")
    for token in (content["token"], alice.laptop.token, alice.phone.token):
        assert (await anybody.get("/api/auth/me", headers=bearer(token))).status_code == 200


async def test_it_notes_when(anybody: httpx.AsyncClient, alice: Person) -> None:
    user = (await sign_in(anybody, alice)).json()["user"]
    assert user["lastLoginAt"] > alice.user["lastLoginAt"]
    assert (await alice.get("/api/auth/me")).json()["user"]["lastLoginAt"] == user["lastLoginAt"]


async def test_the_address_may_be_written_in_any_case(anybody: httpx.AsyncClient, alice: Person) -> None:
    body = {"email": f" {alice.email.upper()} ", "password": PASSWORD}
    assert (await anybody.post("/api/auth/login", json=body)).status_code == 200


async def test_a_wrong_password_and_an_unknown_address_look_the_same(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    wrong = await sign_in(anybody, alice, "not the password")
    unknown = await anybody.post(
        "/api/auth/login", json={"email": "nobody@example.com", "password": "not the password"}
    )
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert {**wrong.json(), "requestId": ""} == {**unknown.json(), "requestId": ""}
    assert wrong.json()["error"] == "wrong_credentials"
    assert wrong.headers["WWW-Authenticate"].startswith("Bearer")
    assert len(await Device.objects.some_ids(alice.id)) == 2


async def test_a_user_who_is_not_active_is_refused_everywhere(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    async with unit_of_work(alice.id) as work:
        User.objects.update(work, User(alice.id, alice.id), is_active=False)
    assert (await sign_in(anybody, alice)).json()["error"] == "wrong_credentials"
    assert (await alice.get("/api/auth/me")).json()["error"] == "token_invalid"
    answer = await anybody.post("/api/auth/refresh", json={"refreshToken": alice.laptop.refresh_token})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        ("cre\u0300me bru\u0302le\u0301e", "cr\u00e8me br\u00fbl\u00e9e"),
        ("cr\u00e8me br\u00fbl\u00e9e", "cre\u0300me bru\u0302le\u0301e"),
        ("ｐａｓｓｗｏｒｄ１２３", "password123"),
    ],
)
async def test_a_password_is_the_same_from_every_keyboard(
    anybody: httpx.AsyncClient, email: str, registered: str, typed: str
) -> None:
    await anybody.post("/api/auth/register", json=registration(email, password=registered))
    answer = await anybody.post("/api/auth/login", json={"email": email, "password": typed})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email", "password"}),
        ({"email": "a@example.com"}, {"password"}),
        ({"password": "password123"}, {"email"}),
        ({"email": None, "password": None}, {"email", "password"}),
        ({"email": "a@example.com", "password": 12345678}, {"password"}),
        ({"email": "a@example.com", "password": ""}, {"password"}),
        ({"email": "a@example.com", "password": "x" * 129}, {"password"}),
        ({"email": "a@example.com", "password": "a\u0000b"}, {"password"}),
        ({"email": {"a": 1}, "password": ["x"]}, {"email", "password"}),
        ([], {"body"}),
        ([{"email": "a@example.com", "password": "password123"}], {"body"}),
        ("text", {"body"}),
        (7, {"body"}),
    ],
)
async def test_a_malformed_body_is_refused(anybody: httpx.AsyncClient, body: Any, fields: set[str]) -> None:
    answer = await anybody.post("/api/auth/login", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "validation_failed"
    assert answer.json()["details"].keys() == fields


async def test_an_address_whose_user_is_gone_is_refused(anybody: httpx.AsyncClient, email: str) -> None:
    user_id = new_id()
    await User.objects.claim_email(email, user_id)
    await User.objects.confirm_email(email, user_id)
    answer = await anybody.post("/api/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 401


async def test_many_devices_sign_in_at_once(anybody: httpx.AsyncClient, alice: Person) -> None:
    answers = await asyncio.gather(*[sign_in(anybody, alice) for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["token"] for answer in answers}) == 20
    assert len(await Device.objects.some_ids(alice.id)) == 22
