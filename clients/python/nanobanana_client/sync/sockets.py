"""One WebSocket: opened, read, closed. Every way it can end is a SocketClosed with a code."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

OPEN_TIMEOUT = 10  # seconds
CLOSE_TIMEOUT = 1
CUT = 1006  # closed without a code: the connection was cut, or never came about

Frame = dict[str, Any]


class SocketClosed(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"The socket was closed with {code}.")
        self.code = code


class Socket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, address: str) -> "Socket":
        try:
            # The server's own pings keep the connection; the protocol's would be a second set.
            connection = await connect(
                address, open_timeout=OPEN_TIMEOUT, close_timeout=CLOSE_TIMEOUT, ping_interval=None
            )
        except (OSError, InvalidHandshake, EOFError) as error:
            raise SocketClosed(CUT) from error
        return cls(connection)

    async def receive(self, silence: float) -> Frame:
        """The next frame; a peer that says nothing for `silence` seconds is as good as gone."""
        try:
            async with asyncio.timeout(silence):
                return json.loads(await self._connection.recv())
        except ConnectionClosed as closed:
            raise SocketClosed(closed.rcvd.code if closed.rcvd else CUT) from closed
        except TimeoutError as error:
            raise SocketClosed(CUT) from error

    async def send(self, type: str, **payload: Any) -> None:
        """A frame to a socket that is gone is dropped: the next connection starts with what is so then."""
        try:
            await self._connection.send(json.dumps({"type": type, "payload": payload}))
        except ConnectionClosed:
            return

    async def close(self) -> None:
        await self._connection.close()


def address_of(url: str, session_ids: Iterable[str], ticket: str, since: str | None) -> str:
    """The first session stands in the path, the others are joined from the start."""
    first, *others = session_ids
    query = {"ticket": ticket, "since": since, "join": ",".join(others)}
    given = urlencode({name: value for name, value in query.items() if value})
    return f"{url.replace('http', 'ws', 1)}/ws/{first}?{given}"
