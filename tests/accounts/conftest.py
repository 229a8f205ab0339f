"""What the tests of accounts share: a caller without a token, fresh addresses, what is stored of a user."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from accounts.tokens import read_access_token
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from tests.support.contract import checked_client
from tests.support.people import PASSWORD, Device, Person
from tests.support.web_server import WebServer

FOREVER = -1  # what TTL says of a key without a life
SECONDS_TO_CLOSE = 2  # a socket whose device is signed out
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
async def _no_failures_of_earlier_tests(server: WebServer) -> None:
    """All tests sign in from one IP, and there are more wrong passwords in them than one is allowed."""
    counters = global_key("guesses", "{127.0.0.1}", "*")
    if keys := [key async for key in get_client().scan_iter(counters, count=10_000)]:
        await get_client().delete(*keys)


@pytest.fixture
async def anybody(server: WebServer) -> AsyncIterator[httpx.AsyncClient]:
    """Calls without a token."""
    # There is no TLS here, and to load the certificates for it takes 25 ms.
    async with checked_client(server.url) as client:
        yield client


@pytest.fixture
def email() -> str:
    return f"newcomer{next(_numbers)}@example.com"


def registration(email: str, **fields: Any) -> dict[str, Any]:
    return {"email": email, "username": "Newcomer", "password": PASSWORD, **fields}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def sign_in(anybody: httpx.AsyncClient, person: Person, password: str = PASSWORD) -> httpx.Response:
    return await anybody.post("/api/auth/login", json={"email": person.email, "password": password})


async def keys_of(user_id: str) -> dict[str, int]:
    """Every key of the user with its life in seconds."""
    client = get_client()
    return {
        key: await client.ttl(key) async for key in client.scan_iter(owner_key(user_id, "*"), count=10_000)
    }


async def lasting_keys_of(user_id: str) -> set[str]:
    """The keys of the user that stay, without what they all start with."""
    start = owner_key(user_id, "")
    return {key.removeprefix(start) for key, life in (await keys_of(user_id)).items() if life == FOREVER}


def device_id_of(device: Device) -> str:
    """What the server calls this device."""
    return read_access_token(device.token).device_id


async def close_code(device: Device) -> int | None:
    """How the server closes the socket of a listening device."""
    assert device.socket
    await asyncio.wait_for(device.socket.wait_closed(), SECONDS_TO_CLOSE)
    return device.socket.close_code


async def refresh(anybody: httpx.AsyncClient, refresh_token: str) -> httpx.Response:
    return await anybody.post("/api/auth/refresh", json={"refreshToken": refresh_token})


async def assert_signed_in(anybody: httpx.AsyncClient, token: str) -> None:
    assert (await anybody.get("/api/auth/me", headers=bearer(token))).status_code == 200


async def assert_signed_out(anybody: httpx.AsyncClient, token: str, refresh_token: str) -> None:
    """Neither token of a device is worth anything."""
    for answer in (
        await anybody.get("/api/auth/me", headers=bearer(token)),
        await anybody.post("/api/auth/refresh", headers=bearer(token)),
        await refresh(anybody, refresh_token),
    ):
        assert (answer.status_code, answer.json()["error"]) == (401, "token_invalid")
