"""Bytes of Redis memory per user, session, message and picture: `python -m bench.memory`."""

import argparse
import asyncio
import io
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from secrets import token_urlsafe

import httpx
import orjson
from PIL import Image

from bench.server import Server, running_server
from nanobanana.redisdb import client, connection
from nanobanana.redisdb.client import get_client

TEXT = 200  # characters of a message
AT_ONCE = 8
SIZE = (1000, 700)  # pixels
AIM = 700  # bytes of a message, without what the search keeps of it
STEP = 500  # keys asked about at once
MESSAGE = "message"
WORDS = [
    f"{first}{middle}{last}" for first in "bcdfglmnprst" for middle in "aeiou" for last in ("", "n", "rest")
]

PASSWORD = "correct horse battery"
# What keys are for, by how they begin behind the owner's tag; the first that fits.
KINDS = (
    ("search index", r"term:|terms|title:|titles"),
    ("for a day", r"operation:client|answer:"),
    ("for an hour", r"operation:|limit:|ticket:|verify:|reset:"),
    ("events", r"events"),
    ("log", r"log"),
    ("message", r"message:"),
    ("list of messages", r"session:.{26}:messages"),
    ("list of pictures", r"session:.{26}:images|images"),
    ("session", r"session:"),
    ("list of sessions", r"sessions"),
    ("picture", r"image:|blob:|blobs|content:|usage:"),
    ("user", r"user:|password:|device:|devices"),
)

NOT_COUNTED = {"search index", "events", "for a day", "for an hour"}  # of what a message weighs
LASTING = {kind for kind, _ in KINDS} - NOT_COUNTED


@dataclass
class Weight:
    """What is stored: keys and bytes by their kind, and what Redis has taken for all of it."""

    keys: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    used: int = 0


@dataclass(frozen=True)
class Stage:
    """What is added, how often, and the weight before and after it."""

    name: str
    number: int
    before: Weight
    after: Weight

    def growth(self) -> dict[str, float]:
        """Bytes for each object, by the kind of key."""
        grown = self.after.bytes - self.before.bytes
        return {kind: size / self.number for kind, size in grown.most_common()}

    def used(self) -> float:
        return (self.after.used - self.before.used) / self.number


def main() -> None:
    options = arguments()
    with running_server() as server:
        stages = asyncio.run(measure(server, options))
    print("\n".join(table(stages)))
    [messages] = [stage for stage in stages if stage.name == MESSAGE]
    weight = sum(size for kind, size in messages.growth().items() if kind in LASTING)
    if weight > AIM:
        sys.exit(f"A message of {TEXT} characters takes {weight:.0f} bytes, more than {AIM}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--users", type=int, default=200, help="%(default)s")
    parser.add_argument("--sessions", type=int, default=100, help="of one of them (%(default)s)")
    parser.add_argument("--messages", type=int, default=4000, help="in all of these (%(default)s)")
    parser.add_argument("--pictures", type=int, default=100, help="%(default)s")
    return parser.parse_args()


async def measure(server: Server, options: argparse.Namespace) -> list[Stage]:
    """Add one kind of object after the other, and weigh all that is stored after each."""
    client.configure(server.redis_url)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        await register(http, 0)  # what is there once for everybody is there then
        signed_in = await register(http, 1)
        http.headers["Authorization"] = f"Bearer {signed_in['token']}"
        maker = Maker(http)
        scenes: list[tuple[str, int, Callable[[int], Awaitable[object]]]] = [
            ("user", options.users, lambda number: register(http, number + 2)),
            ("session", options.sessions, maker.open_session),
            (MESSAGE, options.messages, maker.say),
            ("message, sent with an Idempotency-Key", options.messages // 10, maker.say_with_key),
            ("picture", options.pictures, maker.upload),
        ]
        stages, before = [], await weigh()
        for name, number, add in scenes:
            await repeat(number, add)
            after = await weigh()
            stages.append(Stage(name, number, before, after))
            before = after
    await connection.close()
    return stages


class Maker:
    """What one user has."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http, self._sessions, self._chance = http, [""][1:], random.Random(4)

    async def open_session(self, number: int) -> None:
        body = {"title": f"A cat with a crown, number {number}"}
        self._sessions.append((await created(self._http, "/api/sessions", json=body))["session"]["id"])

    async def say(self, number: int, **options: object) -> None:
        words = self._chance.choices(WORDS, k=TEXT)
        body = {"role": "user", "text": " ".join(words)[:TEXT], "params": {"model": "flux", "strength": 0.8}}
        path = f"/api/sessions/{self._session(number)}/messages"
        await created(self._http, path, json=body, **options)

    async def say_with_key(self, number: int) -> None:
        await self.say(number, headers={"Idempotency-Key": token_urlsafe(16)})

    async def upload(self, number: int) -> None:
        files = {"image": ("picture.png", picture(number), "image/png")}
        form = {"sessionId": self._session(number), "type": "uploaded"}
        await created(self._http, "/api/images/upload", data=form, files=files)

    def _session(self, number: int) -> str:
        return self._sessions[number % len(self._sessions)]


async def repeat(number: int, add: Callable[[int], Awaitable[object]]) -> None:
    turns = iter(range(number))

    async def work() -> None:
        for turn in turns:
            await add(turn)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def register(http: httpx.AsyncClient, number: int) -> dict:
    account = {"email": f"somebody.{number}@example.com", "username": f"Somebody {number}"}
    return await created(http, "/api/auth/register", json={**account, "password": PASSWORD})


def picture(number: int) -> bytes:
    """Each number has another one: equal content would be stored once."""
    file = io.BytesIO()
    Image.new("RGB", SIZE, (number % 256, number // 256 % 256, 99)).save(file, "PNG")
    return file.getvalue()


async def created(http: httpx.AsyncClient, path: str, **body: object) -> dict:
    answer = await http.post(path, **body)  # type: ignore[arg-type]
    if answer.status_code != 201:
        raise SystemExit(f"{path} answered {answer.status_code}: {answer.text}")
    return orjson.loads(answer.content)


# ---- weighing
async def weigh() -> Weight:
    weight = Weight(used=(await get_client().info("memory"))["used_memory"])
    async for keys in all_keys():
        pipeline = get_client().pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("MEMORY", "USAGE", key, "SAMPLES", 0)
        for key, size in zip(keys, await pipeline.execute(), strict=True):
            kind = kind_of(key)
            weight.keys[kind] += 1
            weight.bytes[kind] += size or 0  # one that has ended meanwhile has none
    return weight


async def all_keys() -> AsyncIterator[list[str]]:
    cursor = None
    while cursor != 0:
        cursor, keys = await get_client().scan(cursor or 0, count=STEP)
        yield keys


def kind_of(key: str) -> str:
    name = key.partition("}:")[2]
    return next((kind for kind, beginning in KINDS if re.match(beginning, name)), "of all users")


def table(stages: list[Stage]) -> Iterator[str]:
    yield f"{'bytes for each':<44}{'keys':>9}{'Redis took':>12}"
    for stage in stages:
        growth = stage.growth()
        lasting = sum(size for kind, size in growth.items() if kind in LASTING)
        yield f"{stage.name + f' ({stage.number})':<44}{lasting:>9.0f}{stage.used():>12.0f}"
        for kind, size in growth.items():
            yield f"    {kind:<40}{size:>9.0f}"


if __name__ == "__main__":
    main()
