"""A device that listens, is cut off, returns from where it was, and notes all that it hears."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from nanobanana.stress.accounts import Account, StressError, offset_of

LONGEST_PAUSE = 0.3  # seconds until a device is back
SECONDS_TO_OPEN = 10
REFUSALS = {4401, 4403, 4404, 4013}


class Heard(NamedTuple):
    """An event's offset, when it came, and since when the device was connected, by time.monotonic."""

    offset: int
    at: float
    connected_at: float


class Device:
    """Is in all sessions of its account, so that it hears every event of it."""

    def __init__(self, account: Account, urls: Sequence[str]) -> None:
        self.account = account
        self.start: int | None = None  # the offset from which on it heard
        self.position = 0
        self.heard: list[Heard] = []
        self.told: list[range] = []  # offsets of which it was told that it will not hear them
        self.connects = 0
        self._urls = urls
        self._cursor = ""
        self._connected_at = 0.0
        self._socket: ClientConnection | None = None

    async def stay(self) -> None:
        """Be connected until cancelled."""
        while True:
            try:
                async with self._open() as self._socket:
                    await self._listen(self._socket)
            except ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code in REFUSALS:
                    raise StressError(f"A device was refused with {closed.rcvd.code}.") from closed
            except (OSError, InvalidHandshake, InvalidMessage, TimeoutError):
                pass  # the server is away
            self._socket = None
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))

    def cut(self) -> bool:
        """Break the connection as a tunnel would, without a word; False when there is none."""
        if self._socket is None:
            return False
        self._socket.transport.abort()
        return True

    def _open(self) -> connect:
        first, *others = self.account.session_ids
        query = urlencode({"since": self._cursor, "join": ",".join(others)})
        address = f"{random.choice(self._urls).replace('http', 'ws', 1)}/ws/{first}?{query}"
        return connect(
            address,
            subprotocols=[Subprotocol("bearer"), Subprotocol(self.account.token)],
            open_timeout=SECONDS_TO_OPEN,
            close_timeout=1,
            ping_interval=None,
            max_queue=None,
            compression=None,
            proxy=None,
        )

    async def _listen(self, socket: ClientConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "ping":
                await socket.send('{"type": "pong"}')
            self._keep(frame)

    def _keep(self, frame: dict[str, Any]) -> None:
        if "cursor" not in frame:
            return
        self._cursor, offset = frame["cursor"], offset_of(frame["cursor"])
        match frame["type"]:
            case "connected":
                self.connects += 1
                self._connected_at = time.monotonic()
                if self.start is None:
                    self.start = self.position = offset
            case "resync_required":
                self.told.append(range(self.position + 1, offset + 1))
                self.position = offset
            case "ping":
                pass
            case _:
                self.heard.append(Heard(offset, time.monotonic(), self._connected_at))
                self.position = max(self.position, offset)
