"""What a token must be, tried with ones made by hand."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.conf import settings
from websockets.asyncio.client import connect

from accounts.tokens import read_access_token
from tests.accounts.conftest import bearer, device_id_of, refresh
from tests.support.people import Person

DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512", "RS256": "sha256", "ES256": "sha256"}
Claims = dict[str, Any]


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def claims_of(token: str) -> Claims:
    return decoded(token.split(".")[1])


def signed(claims: Claims, secret: str | None = None, *, algorithm: str = "HS256", **header: Any) -> str:
    """A token as somebody would make it who holds `secret`: the server's own, unless told."""
    content = f"{encoded({'alg': algorithm, 'typ': 'JWT', **header})}.{encoded(claims)}"
    key = (settings.JWT_SECRET if secret is None else secret).encode()
    digest = DIGESTS.get(algorithm)
    signature = hmac.digest(key, content.encode(), digest) if digest else b""
    return f"{content}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def status_with(anybody: httpx.AsyncClient, token: str) -> tuple[int, str | None]:
    answer = await anybody.get("/api/auth/me", headers=bearer(token))
    return answer.status_code, answer.json().get("error")


REFUSED = (401, "token_invalid")
ADMITTED = (200, None)


async def test_a_token_made_by_hand_with_the_secret_is_admitted(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    """So the refusals below are of what each of them changes."""
    assert await status_with(anybody, signed(claims_of(alice.phone.token))) == ADMITTED


# ---- the signature
@pytest.mark.parametrize(
    "algorithm", ["none", "None", "nOnE", "HS384", "HS512", "RS256", "ES256", "", "HS257"]
)
async def test_the_token_does_not_choose_the_algorithm(
    anybody: httpx.AsyncClient, alice: Person, algorithm: str
) -> None:
    """Signed by whoever has the secret, where there is anything to sign with."""
    assert await status_with(anybody, signed(claims_of(alice.phone.token), algorithm=algorithm)) == REFUSED


async def test_a_token_without_its_signature_is_refused(anybody: httpx.AsyncClient, alice: Person) -> None:
    content = alice.phone.token.rpartition(".")[0]
    for token in (content, f"{content}.", f"{content}.AAAA", f"{alice.phone.token}A"):
        assert await status_with(anybody, token) == REFUSED


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "another secret, which this server never had",
        "nanobanana",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBg",
    ],
)
async def test_an_unknown_secret_is_refused(anybody: httpx.AsyncClient, alice: Person, secret: str) -> None:
    assert await status_with(anybody, signed(claims_of(alice.phone.token), secret)) == REFUSED


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../../../dev/null"},
        {"kid": "x' UNION SELECT '"},
        {"kid": ["a", {"b": 1}]},
        {"jwk": {"kty": "oct", "k": ""}},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/certificate"},
    ],
)
async def test_the_token_does_not_choose_the_key(
    anybody: httpx.AsyncClient, alice: Person, header: dict[str, Any]
) -> None:
    assert await status_with(anybody, signed(claims_of(alice.phone.token), "", **header)) == REFUSED


async def test_the_name_of_a_key_is_ignored(anybody: httpx.AsyncClient, alice: Person) -> None:
    assert await status_with(anybody, signed(claims_of(alice.phone.token), kid="/dev/null")) == ADMITTED


# ---- the previous secret
async def test_the_previous_secret_still_verifies(anybody: httpx.AsyncClient, alice: Person) -> None:
    access = signed(claims_of(alice.phone.token), settings.JWT_SECRET_PREVIOUS)
    assert await status_with(anybody, access) == ADMITTED


async def test_the_previous_secret_never_signs(anybody: httpx.AsyncClient, alice: Person) -> None:
    old = signed(claims_of(alice.phone.refresh_token), settings.JWT_SECRET_PREVIOUS)
    content = (await refresh(anybody, old)).json()
    for token in (content["token"], content["refreshToken"]):
        header = decoded(token.split(".")[0])
        assert header["alg"] == "HS256"
        assert token == signed_alike(token, settings.JWT_SECRET)
        assert token != signed_alike(token, settings.JWT_SECRET_PREVIOUS)


def signed_alike(token: str, secret: str) -> str:
    """The same header and claims, signed anew."""
    content = token.rpartition(".")[0]
    signature = hmac.digest(secret.encode(), content.encode(), "sha256")
    return f"{content}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("change", [{"iss": "somebody"}, {"aud": "somebody"}, {"exp": 1}])
async def test_the_previous_secret_is_no_way_around_the_claims(
    anybody: httpx.AsyncClient, alice: Person, change: Claims
) -> None:
    token = signed(claims_of(alice.phone.token) | change, settings.JWT_SECRET_PREVIOUS)
    assert await status_with(anybody, token) == REFUSED


# ---- the claims
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"iss": ["nanobanana"]},
        {"aud": "somebody"},
        {"aud": None},
        {"aud": []},
        {"exp": 1},
        {"exp": None},
        {"exp": "never"},
        {"nbf": 4_000_000_000},
        {"jti": None},
        {"token_type": "refresh"},
        {"token_type": None},
        {"token_type": "sliding"},
        {"userId": None},
        {"userId": "*"},
        {"userId": 7},
        {"userId": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        {"deviceId": None},
        {"deviceId": "*"},
        {"deviceId": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    ],
    ids=str,
)
async def test_a_wrong_or_missing_claim_is_refused(
    anybody: httpx.AsyncClient, alice: Person, change: Claims
) -> None:
    """None leaves the claim out."""
    claims = {
        name: value for name, value in (claims_of(alice.phone.token) | change).items() if value is not None
    }
    assert await status_with(anybody, signed(claims)) == REFUSED


async def test_a_device_of_somebody_else_is_refused(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    mixed = claims_of(mallory.phone.token) | {"userId": alice.id}
    assert device_id_of(mallory.phone) == mixed["deviceId"]
    assert await status_with(anybody, signed(mixed)) == REFUSED


async def test_an_expired_refresh_token_is_refused_and_ends_nothing(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    expired = signed(claims_of(alice.phone.refresh_token) | {"exp": int(time.time()) - 1})
    assert (await refresh(anybody, expired)).status_code == 401
    assert (await refresh(anybody, alice.phone.refresh_token)).status_code == 200


# ---- one kind is not the other
async def test_a_refresh_token_is_no_access_token(anybody: httpx.AsyncClient, alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    token = alice.phone.refresh_token
    assert await status_with(anybody, token) == REFUSED
    assert (await anybody.post("/api/auth/refresh", headers=bearer(token))).status_code == 401
    async with connect(f"{alice.phone.server.websocket_url}/ws/{session_id}?token={token}") as socket:
        await socket.wait_closed()
    assert socket.close_code == 4401
    assert (await refresh(anybody, token)).status_code == 200


async def test_an_access_token_is_no_refresh_token(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await refresh(anybody, alice.phone.token)
    assert (answer.status_code, answer.json()["error"]) == REFUSED
    assert await status_with(anybody, alice.phone.token) == ADMITTED


# ---- no token at all
@pytest.mark.parametrize(
    "make",
    [
        lambda token: token[:-1],
        lambda token: token.upper(),
        lambda token: token.replace(".", ""),
        lambda token: token + "." + token,
        lambda token: "." * 1000,
        lambda token: "e30.e30.e30",
        lambda token: "\u00e9.\u00e9.\u00e9".encode().decode("latin-1"),
        lambda token: f"{encoded({'alg': 'HS256'})}.{'A' * 6000}.AAAA",
        lambda token: signed([]),  # type: ignore[arg-type]
    ],
)
async def test_what_is_no_token_is_refused(
    anybody: httpx.AsyncClient, alice: Person, make: Callable[[str], str]
) -> None:
    headers = {"Authorization": b"Bearer " + make(alice.phone.token).encode("latin-1")}
    answer = await anybody.get("/api/auth/me", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == REFUSED


def test_a_token_tells_nothing_but_ids_and_times(alice: Person) -> None:
    access = claims_of(alice.phone.token)
    assert access.keys() == {"token_type", "exp", "iat", "jti", "userId", "deviceId", "iss", "aud"}
    assert (access["iss"], access["aud"]) == ("nanobanana", "nanobanana-api")
    assert access["exp"] - access["iat"] == settings.JWT_EXPIRES_IN
    assert read_access_token(alice.phone.token).user_id == alice.id
    refresh_claims = claims_of(alice.phone.refresh_token)
    assert refresh_claims["exp"] - refresh_claims["iat"] == settings.REFRESH_EXPIRES_IN
