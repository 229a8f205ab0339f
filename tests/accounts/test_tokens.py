"""What is taken for a token, and what is not, on every call that wants one."""

import asyncio
import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from django.conf import settings
from django.urls import get_resolver

from accounts.models import Device, User
from accounts.tokens import AccessToken, RefreshToken, read_access_token, refresh_token
from accounts.viewsets import SignedInViewSet
from nanobanana.redisdb.ids import new_id
from tests.accounts.conftest import bearer
from tests.support.people import Person

Forge = Callable[[dict[str, Any]], str]


def base64_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encoded(part: dict[str, Any]) -> str:
    return base64_of(json.dumps(part).encode())


def mac(claims: dict[str, Any], algorithm: str, secret: str, digest: str = "sha256") -> str:
    """A token put together by hand, as no library would."""
    head = f"{encoded({'alg': algorithm})}.{encoded(claims)}"
    return f"{head}.{base64_of(hmac.digest(secret.encode(), head.encode(), digest))}"


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, settings.JWT_SECRET, algorithms=["HS256"])


def signed(claims: dict[str, Any], secret: str = settings.JWT_SECRET, **headers: Any) -> str:
    return jwt.encode(claims, secret, "HS256", headers=headers)


def changed(token: str) -> str:
    """The same but for one character of the signature."""
    return token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {claim: value for claim, value in claims.items() if claim != name}


FORGERIES: dict[str, Forge] = {
    "not signed": lambda claims: f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}.",
    "not signed, in capitals": lambda claims: f"{encoded({'alg': 'NONE'})}.{encoded(claims)}.",
    "said to be not signed": lambda claims: mac(claims, "none", settings.JWT_SECRET),
    "said to be signed with a key pair": lambda claims: mac(claims, "RS256", settings.JWT_SECRET),
    "another algorithm": lambda claims: mac(claims, "HS512", settings.JWT_SECRET, "sha512"),
    "another secret": lambda claims: signed(claims, "another secret, as long as it has to be"),
    "an empty secret": lambda claims: mac(claims, "HS256", ""),
    "a key of its own": lambda claims: signed(
        claims, "attacker" * 5, jwk={"kty": "oct", "k": encoded({"k": 1})}
    ),
    "a key of another place": lambda claims: signed(claims, "attacker" * 5, jku="https://example.com/keys"),
    "a key that is a file": lambda claims: signed(claims, "attacker" * 5, kid="../../../../dev/null"),
    "no expiry": lambda claims: signed(without(claims, "exp")),
    "no type": lambda claims: signed(without(claims, "token_type")),
    "expired": lambda claims: signed({**claims, "exp": int(time.time()) - 1}),
    "an expiry that is no number": lambda claims: signed({**claims, "exp": "tomorrow"}),
    "not yet": lambda claims: signed({**claims, "nbf": int(time.time()) + 3600}),
    "no user": lambda claims: signed(without(claims, "userId")),
    "no device": lambda claims: signed(without(claims, "deviceId")),
    "a pattern for a device": lambda claims: signed({**claims, "deviceId": "*"}),
    "a list of users": lambda claims: signed({**claims, "userId": [claims["userId"]]}),
    "an unknown user": lambda claims: signed({**claims, "userId": new_id()}),
    "an unknown device": lambda claims: signed({**claims, "deviceId": new_id()}),
    "one character more": lambda claims: signed(claims) + "A",
    "one character changed": lambda claims: changed(signed(claims)),
    "no signature": lambda claims: signed(claims).rpartition(".")[0],
    "two parts": lambda claims: "a.b",
    "garbage": lambda claims: "garbage",
    "dots": lambda claims: "..",
    "not ASCII": lambda claims: "\u00e9\u00e4",
    "very long": lambda claims: "a" * 20_000,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_is_refused(anybody: httpx.AsyncClient, alice: Person, forge: Forge) -> None:
    token = forge(claims_of(alice.laptop.token))
    headers = {"Authorization": f"Bearer {token}".encode()}
    answer = await anybody.get("/api/auth/me", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "token_invalid"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_what_the_forgeries_are_made_of_would_be_taken(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    token = signed(claims_of(alice.laptop.token))
    assert (await anybody.get("/api/auth/me", headers=bearer(token))).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic {token}", "Token {token}", "{token}", "Bearer{token}"]
)
async def test_without_a_bearer_token_nobody_is_let_in(
    anybody: httpx.AsyncClient, alice: Person, authorization: str
) -> None:
    headers = {"Authorization": authorization.format(token=alice.laptop.token).strip()}
    answer = await anybody.get("/api/auth/me", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
async def test_the_scheme_may_be_written_in_any_case(
    anybody: httpx.AsyncClient, alice: Person, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {alice.laptop.token}"}
    assert (await anybody.get("/api/auth/me", headers=headers)).status_code == 200


async def test_a_token_in_the_address_lets_nobody_in(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await anybody.get(f"/api/auth/me?token={alice.laptop.token}&access_token={alice.laptop.token}")
    assert answer.status_code == 401


async def test_a_token_ends_when_it_expires_though_it_was_seen_before(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    claims = read_access_token(alice.laptop.token)
    token = AccessToken()
    token.set_exp(lifetime=timedelta(seconds=1))
    token["userId"], token["deviceId"] = claims.user_id, claims.device_id
    short = str(token)
    assert (await anybody.get("/api/auth/me", headers=bearer(short))).status_code == 200
    await asyncio.sleep(max(0, token["exp"] - time.time()))
    assert (await anybody.get("/api/auth/me", headers=bearer(short))).status_code == 401


async def test_an_expired_refresh_token_is_refused(anybody: httpx.AsyncClient, alice: Person) -> None:
    claims = read_access_token(alice.laptop.token)
    token = RefreshToken()
    token.set_exp(lifetime=timedelta(seconds=-1))
    token["userId"], token["deviceId"] = claims.user_id, claims.device_id
    answer = await anybody.post("/api/auth/refresh", json={"refreshToken": str(token)})
    assert (answer.status_code, answer.json()["error"]) == (401, "token_invalid")


async def test_the_device_of_one_user_is_none_of_another(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    mine = read_access_token(mallory.laptop.token).device_id
    assert await Device.objects.aget(mallory.id, mine)
    token = signed({**claims_of(alice.laptop.token), "deviceId": mine})
    assert (await anybody.get("/api/auth/me", headers=bearer(token))).status_code == 401
    body = {"refreshToken": refresh_token(alice.id, mine)}
    assert (await anybody.post("/api/auth/refresh", json=body)).status_code == 401


def test_a_token_says_nothing_but_who_and_which_device_and_how_long() -> None:
    user_id, device_id = new_id(), new_id()
    claims = claims_of(refresh_token(user_id, device_id))
    assert claims.keys() == {"token_type", "exp", "iat", "jti", "userId", "deviceId"}
    assert claims["exp"] - claims["iat"] == settings.REFRESH_EXPIRES_IN


def routes(patterns: list[Any], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Every address, with X for each part that varies, and its view."""
    for pattern in patterns:
        address = prefix + re.sub(r"<[^>]+>", "X", str(pattern.pattern))
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern.url_patterns, address)
        else:
            yield address, pattern.callback


def test_only_these_calls_are_open() -> None:
    open_calls = {
        (address, view.cls.__name__)
        for address, view in routes(get_resolver().url_patterns)
        if not issubclass(view.cls, SignedInViewSet)
    }
    assert open_calls == {
        ("/api/auth/register", "SignInViewSet"),
        ("/api/auth/login", "SignInViewSet"),
        ("/api/auth/refresh", "SignInViewSet"),
        ("/media/X/X/X", "MediaViewSet"),
        ("/health", "HealthViewSet"),
        ("/", "UnknownViewSet"),
    }


async def test_every_other_call_wants_a_token_before_it_looks_at_anything(
    anybody: httpx.AsyncClient,
) -> None:
    closed = [
        (method, address)
        for address, view in routes(get_resolver().url_patterns)
        for method in view.actions
        if issubclass(view.cls, SignedInViewSet)
    ]
    assert len(closed) > 20
    for method, address in closed:
        answer = await anybody.request(method, address, content=b"{nonsense")
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized"), (method, address)


async def test_the_user_of_a_token_is_read_anew_each_time(alice: Person) -> None:
    await alice.phone.put("/api/auth/me", {"username": "Changed"})
    assert (await alice.laptop.get("/api/auth/me")).json()["user"]["username"] == "Changed"
    assert (await User.objects.aget(alice.id, alice.id)).username == "Changed"
