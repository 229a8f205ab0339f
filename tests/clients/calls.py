"""Calls of the Python client that find nobody for a while."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from nanobanana_client import MemoryTokens, NanobananaClient, Tokens

from tests.support.people import PATIENCE, Person


class Calls(httpx.AsyncHTTPTransport):
    """Calls that find nobody for a while; sockets go on."""

    def __init__(self) -> None:
        super().__init__()
        self.find_nobody = False
        self._lost = asyncio.Semaphore(0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.find_nobody:
            self._lost.release()
            raise httpx.ConnectError("Nobody is there.")
        return await super().handle_async_request(request)

    async def lose(self, count: int) -> None:
        """Until so many more have found nobody."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                await self._lost.acquire()


@asynccontextmanager
async def calling(person: Person, calls: Calls, url: str = "") -> AsyncIterator[NanobananaClient]:
    store = MemoryTokens(Tokens(person.phone.token, person.phone.refresh_token))
    http = httpx.AsyncClient(transport=calls)
    url = url or person.phone.server.url
    async with NanobananaClient(url, store=store, http=http, retries=0) as client:
        yield client
