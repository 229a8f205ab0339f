"""The accounts of a run: what was written in them, and what the server answered to it."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

PASSWORD = "correct horse battery staple"
SECONDS_TO_ANSWER = 10  # one try
SECONDS_TO_TRY = (
    150  # for a server to come back, and to forget that a try of a killed one is under way: a minute
)
PAUSE = 0.1  # seconds between tries


class StressError(Exception):
    """The run cannot go on; the message is one sentence for who started it."""


@dataclass
class Written:
    """What was answered: the positions and when, and the texts of the messages by their ids."""

    positions: list[tuple[int, float]] = field(default_factory=list)  # offset, seconds of time.monotonic()
    texts: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)  # that each answer took, its tries together


class Account:
    """Somebody new, with sessions in which all of their devices are."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.token = ""
        self.session_ids: list[str] = []
        self.written = Written()

    async def register(self, sessions: int) -> None:
        name = f"stress-{secrets.token_hex(5)}"
        body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
        self.token = (await self.ask("POST", "/api/auth/register", body)).json()["token"]
        for number in range(sessions):
            answer = await self.ask("POST", "/api/sessions", {"title": f"Session {number}"})
            self.session_ids.append(answer.json()["session"]["id"])

    async def write_message(self, session_id: str) -> None:
        text = secrets.token_hex(12)
        path, body = f"/api/sessions/{session_id}/messages", {"role": "user", "text": text}
        answer = await self._write("POST", path, body)
        self.written.texts[answer.json()["messageData"]["id"]] = text

    async def rename(self, session_id: str) -> None:
        await self._write("PUT", f"/api/sessions/{session_id}", {"title": secrets.token_hex(12)})

    async def position(self) -> int:
        """The offset at which the log stands."""
        return offset_of((await self.ask("GET", "/api/sessions")).headers["X-Sync-Cursor"])

    async def texts(self) -> list[tuple[str, str]]:
        """The (id, text) of all messages that the server has."""
        found: list[tuple[str, str]] = []
        for session_id in self.session_ids:
            path: str | None = f"/api/sessions/{session_id}/messages?limit=100"
            while path:
                page = (await self.ask("GET", path)).json()
                found += [(message["id"], message["text"]) for message in page["messages"]]
                following = page["pagination"]["nextCursor"]
                path = (
                    f"/api/sessions/{session_id}/messages?limit=100&cursor={following}" if following else None
                )
        return found

    async def delete(self) -> None:
        await self.ask("DELETE", "/api/auth/me", {"password": PASSWORD})

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        began = time.monotonic()
        answer = await self.ask(method, path, body)
        answered = time.monotonic()
        self.written.positions.append((offset_of(answer.headers["X-Sync-Cursor"]), answered))
        self.written.seconds.append(answered - began)
        return answer

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Ask until there is an answer; a write has one key for all its tries, so that it happens once."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method != "GET":
            headers["Idempotency-Key"] = secrets.token_hex(16)
        deadline = time.monotonic() + SECONDS_TO_TRY
        while True:
            try:
                answer = await self.http.request(method, path, json=body, headers=headers)
                if answer.is_success:
                    return answer
                refuse(answer)
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                problem = f"{answer.status_code} {answer.text}"
            if time.monotonic() > deadline:
                raise StressError(f"{method} {path} is not answered: {problem}.")
            await asyncio.sleep(PAUSE)


def refuse(answer: httpx.Response) -> None:
    """Raise StressError unless it may be tried again: a server is away, or the first try still under way."""
    if answer.status_code == 429:
        raise StressError("The server limits requests: start it with RATE_LIMIT_MAX_REQUESTS=0.")
    if answer.status_code not in {409, 503}:
        raise StressError(f"{answer.request.url.path} was answered {answer.status_code}: {answer.text}")


def client_of(url: str, connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(base_url=url, timeout=SECONDS_TO_ANSWER, limits=limits, trust_env=False)


def offset_of(cursor: str) -> int:
    """The position in an `epoch:offset` cursor."""
    return int(cursor.rpartition(":")[2])
