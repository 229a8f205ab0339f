"""A SyncClient of the tests, and all it told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nanobanana_client import NanobananaClient, SyncClient

from tests.clients.conftest import QUICK
from tests.support.people import PATIENCE


class Listener:
    """A SyncClient and all it told."""

    def __init__(self, client: NanobananaClient, *session_ids: str, **options: Any) -> None:
        self.sync: SyncClient = client.sync(session_ids, **{"backoff": QUICK, **options})
        self.told: list[tuple[str, Any]] = []
        self.news = asyncio.Event()
        for type in (
            *("change", "status", "connected", "resynced", "joined_session", "left_session"),
            *("user_typing", "presence", "error", "ended"),
        ):
            self.sync.on(type, self._keep(type))  # type: ignore[arg-type]

    def _keep(self, type: str) -> Callable[[Any], None]:
        def keep(notice: Any) -> None:
            self.told.append((type, notice))
            self.news.set()

        return keep

    def all(self, type: str) -> list[Any]:
        return [notice for told, notice in self.told if told == type]

    @property
    def texts(self) -> list[str]:
        return [change.message.text for change in self.all("change") if change.type == "message_created"]

    async def hears(self, type: str, count: int = 1) -> Any:
        await self.until(lambda: len(self.all(type)) >= count)
        return self.all(type)[count - 1]

    async def until(self, is_so: Callable[[], bool], patience: float = PATIENCE) -> None:
        async with asyncio.timeout(patience):
            while not is_so():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def listening(client: NanobananaClient, *session_ids: str, **options: Any) -> AsyncIterator[Listener]:
    listener = Listener(client, *session_ids, **options)
    async with listener.sync:
        yield listener
