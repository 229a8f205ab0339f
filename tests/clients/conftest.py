"""The clients against the real server, directly and through a network that misbehaves."""

from collections.abc import AsyncIterator

import pytest
from nanobanana_client import Backoff, MemoryTokens, NanobananaClient, Tokens

from tests.clients.bad_network import BadNetwork, bad_network
from tests.support.people import Device, Person
from tests.support.web_server import WebServer

# Documents, and addresses that answers give whole.
NOT_FOR_CLIENTS = {
    ("get", "/api/docs"),
    ("get", "/api/docs/{name}"),
    ("get", "/api/schema"),
    ("get", "/media/{userId}/{imageId}/{variant}"),
}
QUICK = Backoff(first=0.01, longest=0.05)


def client_of(device: Device, url: str = "") -> NanobananaClient:
    """A client with the tokens of a device of the tests."""
    store = MemoryTokens(Tokens(device.token, device.refresh_token))
    return NanobananaClient(url or device.server.url, store=store, backoff=QUICK)


@pytest.fixture
async def laptop(alice: Person) -> AsyncIterator[NanobananaClient]:
    async with client_of(alice.laptop) as client:
        yield client


@pytest.fixture
async def network(server: WebServer) -> AsyncIterator[BadNetwork]:
    async with bad_network(server.port) as network:
        yield network


@pytest.fixture
async def phone(alice: Person, network: BadNetwork) -> AsyncIterator[NanobananaClient]:
    """Alice's phone, which has a bad network."""
    async with client_of(alice.phone, network.url) as client:
        yield client
