"""What the tests of accounts share: a caller without a token, fresh addresses, what is stored of a user."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from tests.support.people import PASSWORD, Person
from tests.support.web_server import WebServer

FOREVER = -1  # what TTL says of a key without a life
_numbers = itertools.count(1)


@pytest.fixture
async def anybody(server: WebServer) -> AsyncIterator[httpx.AsyncClient]:
    """Calls without a token."""
    # There is no TLS here, and to load the certificates for it takes 25 ms.
    async with httpx.AsyncClient(base_url=server.url, timeout=20, verify=False) as client:
        yield client


@pytest.fixture
def email() -> str:
    return f"newcomer{next(_numbers)}@example.com"


@pytest.fixture
async def nobody_finishes_deletions(server: WebServer) -> AsyncIterator[None]:
    """The server's own turn at interrupted deletions waits until the test is over."""
    await get_client().set(global_key("deletions", "turn"), "a test")
    yield
    await get_client().delete(global_key("deletions", "turn"))


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
