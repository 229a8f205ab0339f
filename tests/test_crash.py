"""Kill everything in the middle of many writes: what was answered is there, and all agrees with itself.

800 writes in the suite, 2,000 with `make stress`.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from redis import Redis

from nanobanana.redisdb import embedded
from nanobanana.redisdb.keys import log_key
from tests.support.people import PASSWORD, picture
from tests.support.stress import how_many

PROJECT = Path(__file__).resolve().parent.parent
WRITES = how_many(800, under_stress=2000)
WRITERS = 8
ACCOUNTS = 2
SEED = 20260101
UNSET = ("APP_ENV", "NODE_ENV", "REDIS_URL", "REDIS_HOST", "STORAGE_TYPE", "PUBLIC_BASE_URL", "DEBUG")

Content = dict[str, Any] | None  # the fields that an object has at least; None when it is deleted


class Unanswered(Exception):
    """The server is gone, or says that its database is."""


class Server:
    """`manage.py serve` on a directory, with an embedded Redis; it can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.redis_directory = directory / "var" / "redis"
        self.environment = {
            **os.environ,
            **dict.fromkeys(UNSET, ""),
            "VAR_DIR": str(directory / "var"),
            "LOG_DIR": str(directory / "logs"),
            "LOG_LEVEL": "warning",
        }
        self.url = ""
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--workers", "2", "--port", "0"],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        for line in self._process.stdout:
            if found := re.search(r"HTTP +http://localhost:(\d+)", line):
                self.url = f"http://127.0.0.1:{found[1]}"
                return
        pytest.fail("The server did not start.")

    def kill(self) -> None:
        """SIGKILL for the supervisor first, then for the workers and the Redis."""
        supervisor = psutil.Process(self._process.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family)
        self._process.communicate()

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def head_of(self, user_id: str) -> int:
        """The offset of the newest event in a user's log."""
        with Redis.from_url(embedded.url(self.redis_directory), decode_responses=True) as redis:
            return int(redis.hget(log_key(user_id), "offset") or 0)

    def inconsistencies(self) -> str:
        command = [sys.executable, "-m", "tests.support.consistency"]
        return subprocess.run(
            command, cwd=PROJECT, env=self.environment, capture_output=True, text=True
        ).stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@dataclass
class Diary:
    """What the writers were answered."""

    answered: int = 0
    cursors: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by user id
    expected: dict[str, list[Content]] = field(default_factory=dict)  # by path: what may be found there


@dataclass
class Account:
    user_id: str
    token: str
    session_ids: list[str] = field(default_factory=list)
    image_ids: list[str] = field(default_factory=list)


class Writer:
    """One client, which writes as fast as it is answered; its messages are its own, its sessions shared."""

    def __init__(
        self, http: httpx.AsyncClient, account: Account, diary: Diary, chance: random.Random
    ) -> None:
        self.http, self.account, self.diary, self.chance = http, account, diary, chance
        self.message_ids: list[str] = []

    async def write_until(self, total: int) -> None:
        """Write until all writers together were answered so often, or the server is gone."""
        kinds = [self.add_message, self.edit, self.delete, self.attach, self.upload, self.add_session]
        try:
            while self.diary.answered < total:
                kind = self.chance.choices(kinds, weights=(50, 25, 10, 10, 3, 2))[0]
                await (kind() if self.message_ids else self.add_message())
        except (httpx.TransportError, Unanswered):
            return

    async def add_session(self) -> None:
        title = f"Session {self.chance.random()}"
        session = (await self.send("POST", "/api/sessions", {"title": title}))["session"]
        self.account.session_ids.append(session["id"])
        self.expect(f"/api/sessions/{session['id']}", {"title": title})

    async def upload(self) -> None:
        content = picture(colour=f"#{self.chance.randrange(0xFFFFFF):06x}")
        form = {"sessionId": self.chance.choice(self.account.session_ids), "type": "uploaded"}
        image = (
            await self.send("POST", "/api/images/upload", files={"image": ("picture", content)}, data=form)
        )["image"]
        self.account.image_ids.append(image["id"])
        self.expect(f"/api/images/{image['id']}", {"size": image["size"], "sessionId": image["sessionId"]})

    async def add_message(self) -> None:
        path = f"/api/sessions/{self.chance.choice(self.account.session_ids)}/messages"
        content = {"text": f"{self.chance.random()}", "imageIds": self.some_images()}
        message = (await self.send("POST", path, {"role": "user", **content}))["messageData"]
        self.message_ids.append(message["id"])
        self.expect(f"/api/messages/{message['id']}", content)

    async def edit(self) -> None:
        changes = {"text": f"{self.chance.random()}", "imageIds": self.some_images()}
        await self.change("PUT", f"/api/messages/{self.chance.choice(self.message_ids)}", changes, changes)

    async def attach(self) -> None:
        path = f"/api/messages/{self.chance.choice(self.message_ids)}"
        shown = self.diary.expected[path][0]
        image_id = self.chance.choice(self.account.image_ids)
        assert shown
        if image_id in shown["imageIds"]:
            return  # what changes nothing has no number of its own
        after = {**shown, "imageIds": [*shown["imageIds"], image_id]}
        await self.change("POST", path, {"imageId": image_id}, after, action="/images")

    async def delete(self) -> None:
        message_id = self.message_ids.pop(self.chance.randrange(len(self.message_ids)))
        await self.change("DELETE", f"/api/messages/{message_id}", None, None)

    def some_images(self) -> list[str]:
        return self.chance.sample(self.account.image_ids, self.chance.randrange(3))

    async def change(
        self, method: str, path: str, body: dict[str, Any] | None, after: Content, action: str = ""
    ) -> None:
        """A change of what is there already: without an answer, it may be as before or as after."""
        self.diary.expected[path].append(after)
        await self.send(method, path + action, body)
        self.expect(path, after)

    def expect(self, path: str, content: Content) -> None:
        self.diary.expected[path] = [content]

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.account.token}"}
        answer = await self.http.request(method, path, json=body, headers=headers, **options)
        if answer.status_code == 503:
            raise Unanswered
        assert answer.is_success, answer.text
        self.diary.answered += 1
        if answer.status_code == 201:  # what was made; a change may be one that changes nothing
            self.diary.cursors[self.account.user_id].append(answer.headers["X-Sync-Cursor"])
        return answer.json()


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20, verify=False) as http:
        yield http


async def register(http: httpx.AsyncClient, name: str) -> Account:
    body = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    answer = (await http.post("/api/auth/register", json=body)).json()
    return Account(answer["user"]["id"], answer["token"])


async def write(server: Server, writers: list[Writer], total: int) -> None:
    async with client_of(server) as http:
        for writer in writers:
            writer.http = http
        await asyncio.gather(*(writer.write_until(total) for writer in writers))


async def kill_at(server: Server, diary: Diary, answered: int, delay: float) -> None:
    while diary.answered < answered:  # noqa: ASYNC110  # an event would have to be set after each answer
        await asyncio.sleep(0.001)
    await asyncio.sleep(delay)
    await asyncio.to_thread(server.kill)


async def assert_as_answered(server: Server, accounts: list[Account], diary: Diary) -> None:
    """Everything answered is there; of what was not answered the diary learns what became of it."""
    async with client_of(server) as http:
        found = {path: content for account in accounts async for path, content in everything(http, account)}
    for path, contents in diary.expected.items():
        possible = [content for content in contents if matches(found.get(path), content)]
        assert possible, (path, contents, found.get(path))
        diary.expected[path] = possible[-1:]


async def everything(http: httpx.AsyncClient, account: Account) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """All sessions, messages and images of an account, with their paths."""
    async for session in walk(http, account, "/api/sessions", "sessions"):
        yield f"/api/sessions/{session['id']}", session
        async for message in walk(http, account, f"/api/sessions/{session['id']}/messages", "messages"):
            yield f"/api/messages/{message['id']}", message
    async for image in walk(http, account, "/api/images/user/all", "images"):
        yield f"/api/images/{image['id']}", image


async def walk(
    http: httpx.AsyncClient, account: Account, path: str, name: str
) -> AsyncIterator[dict[str, Any]]:
    """The objects of all pages of a list."""
    query: dict[str, str] = {"limit": "100"}
    while True:
        answer = await http.get(path, params=query, headers={"Authorization": f"Bearer {account.token}"})
        for found in answer.json()[name]:
            yield found
        if not answer.json()["pagination"]["hasMore"]:
            return
        query["cursor"] = answer.json()["pagination"]["nextCursor"]


def matches(found: Content, content: Content) -> bool:
    if found is None or content is None:
        return found is content
    return {name: found[name] for name in content} == content


def assert_logs_reach(server: Server, diary: Diary) -> None:
    """Each log reaches every answered write, and no number was given twice."""
    for user_id, cursors in diary.cursors.items():
        (epoch,) = {cursor.partition(":")[0] for cursor in cursors}
        offsets = [int(cursor.removeprefix(f"{epoch}:")) for cursor in cursors]
        assert max(offsets) <= server.head_of(user_id)
        assert len(set(offsets)) == len(offsets)


@pytest.mark.stress
async def test_answered_writes_survive_the_death_of_all_processes(running: Server) -> None:
    chance, diary = random.Random(SEED), Diary()
    async with client_of(running) as http:
        accounts = [await register(http, f"writer{number}") for number in range(ACCOUNTS)]
        writers = [
            Writer(http, account, diary, random.Random(chance.random()))
            for account in accounts * (WRITERS // ACCOUNTS)
        ]
        for writer in writers[:ACCOUNTS]:
            await writer.add_session()
            await writer.upload()
            await writer.upload()
    answered_before, delay = chance.randrange(WRITES // 4, WRITES * 3 // 4), chance.uniform(0, 0.02)
    await asyncio.gather(write(running, writers, WRITES), kill_at(running, diary, answered_before, delay))
    assert answered_before <= diary.answered < WRITES

    await asyncio.to_thread(running.start)
    assert running.inconsistencies() == ""
    assert_logs_reach(running, diary)
    await assert_as_answered(running, accounts, diary)

    await write(running, writers, WRITES)
    assert diary.answered >= WRITES
    assert running.inconsistencies() == ""
    assert_logs_reach(running, diary)
    await assert_as_answered(running, accounts, diary)
