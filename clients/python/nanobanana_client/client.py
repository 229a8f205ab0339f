"""Where everything begins."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from nanobanana_client.api.accounts import Accounts
from nanobanana_client.api.events import Events
from nanobanana_client.api.health import Health
from nanobanana_client.api.images import Images
from nanobanana_client.api.messages import Messages
from nanobanana_client.api.search import Search
from nanobanana_client.api.sessions import Sessions
from nanobanana_client.api.trash import Trash
from nanobanana_client.retries import Backoff
from nanobanana_client.sync.client import SyncClient
from nanobanana_client.tokens import TokenStore
from nanobanana_client.transport import Transport


class NanobananaClient:
    """One device: its calls, by noun, and `sync` to hear what other devices do.

    `store` keeps its tokens; `retries` are further attempts after the first; `timeout` is of one attempt, in
    seconds; `http` is used instead of a new httpx client.
    """

    def __init__(
        self,
        url: str,
        *,
        store: TokenStore | None = None,
        retries: int = 4,
        timeout: float = 30.0,
        backoff: Backoff | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.transport = Transport(
            url, store=store, retries=retries, timeout=timeout, backoff=backoff, http=http
        )
        self.accounts = Accounts(self.transport)
        self.sessions = Sessions(self.transport)
        self.trash = Trash(self.transport)
        self.messages = Messages(self.transport)
        self.images = Images(self.transport)
        self.search = Search(self.transport)
        self.events = Events(self.transport)
        self.health = Health(self.transport)

    def sync(self, session_ids: Iterable[str], *, since: str | None = None, **options: Any) -> SyncClient:
        """A SyncClient in these sessions; `since` is the `sync_cursor` of what is shown."""
        return SyncClient(self, session_ids, since=since, **options)

    async def close(self) -> None:
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
