"""POST /api/auth/refresh"""

from typing import Any

import httpx
import pytest

from accounts.models import Device
from accounts.tokens import read_access_token, read_refresh_token
from tests.accounts.conftest import bearer
from tests.support.people import Person


async def refresh(anybody: httpx.AsyncClient, body: Any = None, token: str | None = None) -> httpx.Response:
    options: dict[str, Any] = {} if body is None else {"json": body}
    headers = bearer(token) if token else {}
    return await anybody.post("/api/auth/refresh", headers=headers, **options)


async def test_an_access_token_alone_is_renewed_as_the_seed_s_clients_do_it(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    answer = await refresh(anybody, token=alice.laptop.token)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "token"}
    claims = read_access_token(answer.json()["token"])
    assert claims.user_id == alice.id
    assert claims.device_id == read_access_token(alice.laptop.token).device_id
    assert (await anybody.get("/api/auth/me", headers=bearer(answer.json()["token"]))).status_code == 200


async def test_a_refresh_token_gives_both_anew(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await refresh(anybody, {"refreshToken": alice.phone.refresh_token})
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "token", "refreshToken", "expiresIn"}
    device_id = read_refresh_token(alice.phone.refresh_token).device_id
    assert read_access_token(answer.json()["token"]).device_id == device_id
    assert read_refresh_token(answer.json()["refreshToken"]).device_id == device_id
    assert len(await Device.objects.some_ids(alice.id)) == 2


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"]
)
async def test_what_an_empty_body_is_said_to_be_does_not_matter(
    anybody: httpx.AsyncClient, alice: Person, content_type: str
) -> None:
    headers = {**bearer(alice.laptop.token), "Content-Type": content_type}
    answer = await anybody.post("/api/auth/refresh", content=b"", headers=headers)
    assert answer.status_code == 200


async def test_each_kind_of_token_serves_its_own_purpose(anybody: httpx.AsyncClient, alice: Person) -> None:
    laptop = alice.laptop
    assert (await refresh(anybody, {"refreshToken": laptop.token})).json()["error"] == "token_invalid"
    assert (await refresh(anybody, token=laptop.refresh_token)).json()["error"] == "token_invalid"
    answer = await anybody.get("/api/auth/me", headers=bearer(laptop.refresh_token))
    assert (answer.status_code, answer.json()["error"]) == (401, "token_invalid")


async def test_a_bad_refresh_token_is_not_made_good_by_an_access_token(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    answer = await refresh(anybody, {"refreshToken": "nonsense"}, token=alice.laptop.token)
    assert answer.status_code == 401


async def test_a_stranger_is_refused(anybody: httpx.AsyncClient) -> None:
    answer = await refresh(anybody)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_signed_out_device_is_refused(anybody: httpx.AsyncClient, alice: Person) -> None:
    await alice.phone.post("/api/auth/logout")
    assert (await refresh(anybody, {"refreshToken": alice.phone.refresh_token})).status_code == 401
    assert (await refresh(anybody, token=alice.phone.token)).status_code == 401


@pytest.mark.parametrize("value", ["", None, 5, True, ["x"], {"a": 1}, "a\u0000b", "x" * 4097])
async def test_a_malformed_refresh_token_is_refused(
    anybody: httpx.AsyncClient, alice: Person, value: Any
) -> None:
    answer = await refresh(anybody, {"refreshToken": value}, token=alice.laptop.token)
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"refreshToken"}
