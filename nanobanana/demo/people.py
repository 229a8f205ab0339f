"""People and their devices: a device sends requests, keeps one socket open and remembers what it hears."""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from nanobanana.demo.client import Client
from nanobanana.demo.timeline import Answer, Moment, PromiseBroken, Timeline, covers, gist, offset, shorten

Frame = Answer
Credentials = Literal["a ticket", "a token in the subprotocol", "a token in the address"]

PATIENCE = 5.0  # seconds to wait for a frame that is due


@dataclass
class Person:
    """Somebody with an account of their own, new in each run."""

    name: str
    email: str = field(init=False)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    id: str = ""

    def __post_init__(self) -> None:
        self.email = f"{self.name.lower()}-{secrets.token_hex(5)}@example.com"


class Device(Client):
    def __init__(
        self, name: str, owner: Person, url: str, timeline: Timeline, patience: float = PATIENCE
    ) -> None:
        super().__init__(name, url, timeline)
        self.owner = owner
        self.frames: list[Frame] = []
        self.cursor = ""  # of the last frame, as a client keeps it to resume from
        self.ticket = ""  # the last one it was given
        self._patience = patience
        self._unasked: list[Frame] = []
        self._news = asyncio.Event()
        self._socket_url = url.replace("http", "ws", 1)
        self._socket: ClientConnection | None = None
        self._listener: asyncio.Task[None] | None = None

    async def close(self) -> None:
        await self.disconnect()
        await super().close()

    # ---- the account
    async def register(self) -> Answer:
        person = self.owner
        form = {"email": person.email, "username": person.name, "password": person.password}
        return self._signed_in(await self.post("/api/auth/register", form, expecting=201))

    async def sign_in(self) -> Answer:
        form = {"email": self.owner.email, "password": self.owner.password}
        return self._signed_in(await self.post("/api/auth/login", form))

    def _signed_in(self, answer: Answer) -> Answer:
        self.token = answer["token"]
        self.owner.id = answer["user"]["id"]
        return answer

    # ---- the socket
    @property
    def is_online(self) -> bool:
        return self._listener is not None and not self._listener.done()

    async def connect(self, session_id: str, *, by: Credentials, since: str = "") -> Frame:
        """Open the socket and return its first frame, `connected`."""
        query, subprotocols = await self._credentials(by)
        if since:
            query["since"] = since
        self._socket = await self._open(session_id, query, subprotocols)
        self.record("opened", f"online with {by}" + (f", since {offset(since)}" if since else ""))
        self._listener = asyncio.create_task(self._listen(self._socket))
        return await self.hears("connected")

    async def _credentials(self, by: Credentials) -> tuple[dict[str, str], list[Subprotocol]]:
        if by == "a token in the subprotocol":
            return {}, [Subprotocol("bearer"), Subprotocol(self.token)]
        if by == "a ticket":
            self.ticket = (await self.post("/api/auth/ws-ticket"))["ticket"]
            return {"ticket": self.ticket}, []
        return {"userId": self.owner.id, "token": self.token}, []

    async def _open(
        self, session_id: str, query: dict[str, str], subprotocols: list[Subprotocol]
    ) -> ClientConnection:
        address = f"{self._socket_url}/ws/{session_id}?{urlencode(query)}"
        try:
            return await connect(address, subprotocols=subprotocols or None, proxy=None, compression=None)
        except InvalidHandshake as error:
            words = f"{self.name}: the server speaks WebSocket at /ws/"
            raise PromiseBroken(words, expected="101", seen=str(error)) from error

    async def is_refused(self, session_id: str, **query: str) -> tuple[int | None, list[Frame]]:
        """The code that a socket opened with `query` is closed with, and the frames it got before."""
        socket = await self._open(session_id, query, [])
        frames: list[Frame] = []
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    frames.append(json.loads(await socket.recv(), object_hook=Answer))
        except ConnectionClosed:
            self.record("refused", f"WS /ws/{shorten(session_id)}", str(socket.close_code))
        except TimeoutError:
            await socket.close()
        return socket.close_code, frames

    async def disconnect(self) -> None:
        if self._socket and self._listener:
            await self._socket.close()
            await self._listener

    async def send(self, kind: str, **payload: object) -> None:
        """Send a frame; it stands in the timeline without its ids."""
        await self._send({"type": kind, "payload": payload})
        self.record("sent", kind)

    async def _send(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None, f"{self.name} was never online"
        await self._socket.send(json.dumps(frame))

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                await self._keep(json.loads(text, object_hook=Answer))
        except ConnectionClosed:
            pass  # the moment below says with which code
        self.record("closed", "offline", str(socket.close_code))

    async def _keep(self, frame: Frame) -> None:
        self.cursor = frame.get("cursor", self.cursor)
        if frame["type"] == "ping":
            await self._send({"type": "pong"})
        else:
            self.frames.append(frame)
            self._unasked.append(frame)
            self._record_frame(frame)
        self._news.set()

    def _record_frame(self, frame: Frame) -> None:
        text, pictures = gist(frame.get("payload", frame))
        moment = Moment(
            at=self.timeline.now(),
            device=self.name,
            direction="heard",
            what=frame["type"],
            text=text,
            pictures=pictures,
            cursor=frame["cursor"] if is_change(frame) else "",
        )
        self.timeline.add(moment)

    # ---- what it heard
    @property
    def changes(self) -> list[tuple[str, str]]:
        """The position and the type of each change that it heard, over all its connections."""
        return [(frame["cursor"], frame["type"]) for frame in self.frames if is_change(frame)]

    async def hears(self, kind: str) -> Frame:
        """The first frame of this kind that nobody asked for yet."""
        await self._until(lambda: self._first(kind) is not None, f"hears {kind}", kind)
        frame = self._first(kind)
        assert frame is not None
        self._unasked.remove(frame)
        return frame

    def forget(self) -> None:
        """Let the frames that nobody asked for rest."""
        self._unasked.clear()

    async def reaches(self, cursor: str) -> None:
        """Wait until it heard all changes up to this position."""
        await self._until(lambda: covers(self.cursor, cursor), f"hears all up to {cursor}", cursor)

    def _first(self, kind: str) -> Frame | None:
        return next((frame for frame in self._unasked if frame["type"] == kind), None)

    async def _until(self, condition: Callable[[], bool], words: str, expected: object) -> None:
        try:
            async with asyncio.timeout(self._patience):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = [frame["type"] for frame in self._unasked] or "nothing more"
            words = f"{self.name} {words} within {self._patience:g} s"
            raise PromiseBroken(words, expected=expected, seen=seen) from None


def is_change(frame: Frame) -> bool:
    """Whether the frame tells of a change, which has a position in the log."""
    return "payload" in frame and "cursor" in frame
