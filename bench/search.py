"""Search among the many messages of one user: `python -m bench.search`. README.md explains what it prints."""

import argparse
import asyncio
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from statistics import quantiles
from typing import Any

import django
import httpx
import orjson

from bench.load import read_answer
from bench.server import Server, running_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
django.setup()

from accounts.models import User  # noqa: E402
from chats.models import Message, Session  # noqa: E402
from chats.search.indexing import SearchedManager  # noqa: E402
from chats.services.messages import create_message  # noqa: E402
from chats.services.reindexing import index_faults, remove_index  # noqa: E402
from nanobanana.redisdb import client, connection  # noqa: E402
from nanobanana.redisdb.client import get_client  # noqa: E402
from nanobanana.redisdb.ids import new_id, time_of  # noqa: E402
from nanobanana.redisdb.unit_of_work import unit_of_work  # noqa: E402

SEED = 4
MESSAGES = 100_000
SESSIONS = 50
AT_ONCE = 100  # messages of one commit
SYLLABLES = [
    f"{first}{vowel}{last}" for first in "bcdfglmnprst" for vowel in "aeiou" for last in ("", "n", "r")
]
ENGLISH_WORDS, CHINESE_WORDS = 8000, 6000
COMMON_CHARACTERS = 2500
QUERIES_TIMED = 300  # of each kind
QUERIES_COMPARED = 500
HITS_COMPARED = 1000  # of each query, the newest
CREATED = 400  # messages, to see what the index costs
POST = "Put the cat on the moon, please."


@dataclass(frozen=True)
class Text:
    """What a message says, and its parts: English words and Chinese sentences."""

    id: str
    content: str
    words: list[str]
    sentences: list[str]


class Writer:
    """Makes up texts, as frequent words being much more frequent than rare ones has them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.english = self._vocabulary(ENGLISH_WORDS, self._word)
        self.characters = [chr(0x4E00 + number * 7) for number in range(COMMON_CHARACTERS)]
        self.character_weights = list(accumulate(1 / (rank + 10) for rank in range(COMMON_CHARACTERS)))
        self.chinese = self._vocabulary(CHINESE_WORDS, self._chinese_word)
        self.english_weights = list(accumulate(1 / (rank + 3) for rank in range(ENGLISH_WORDS)))
        self.chinese_weights = list(accumulate(1 / (rank + 3) for rank in range(CHINESE_WORDS)))

    def text(self) -> tuple[str, list[str], list[str]]:
        kind = self.random.random()
        words = self._english(4, 30) if kind < 0.6 else []
        sentences = [self._sentence() for _ in range(self.random.randint(1, 4))] if kind > 0.5 else []
        return f"{' '.join(words).capitalize()}. {','.join(sentences)}。", words, sentences

    def _english(self, least: int, most: int) -> list[str]:
        count = self.random.randint(least, most)
        return self.random.choices(self.english, cum_weights=self.english_weights, k=count)

    def _sentence(self) -> str:
        count = self.random.randint(2, 8)
        return "".join(self.random.choices(self.chinese, cum_weights=self.chinese_weights, k=count))

    def _vocabulary(self, size: int, make: Callable[[], str]) -> list[str]:
        words: dict[str, None] = {}
        while len(words) < size:
            words[make()] = None
        return list(words)

    def _word(self) -> str:
        return "".join(self.random.choices(SYLLABLES, k=self.random.randint(1, 4)))

    def _chinese_word(self) -> str:
        count = self.random.choice((1, 2, 2, 2, 3, 4))
        return "".join(self.random.choices(self.characters, cum_weights=self.character_weights, k=count))


def main() -> None:
    options = arguments()
    with running_server() as server:
        asyncio.run(measure(server, options))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="%(default)s")
    parser.add_argument("--compare", type=int, default=QUERIES_COMPARED, help="queries: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="%(default)s")
    return parser.parse_args()


async def measure(server: Server, options: argparse.Namespace) -> None:
    client.configure(server.redis_url)
    writer = Writer(options.seed)
    user_id, _ = await register(server, "costs@example.com")
    await cost_of_creating(server, User(user_id, user_id))
    user_id, token = await register(server, "bench@example.com")
    texts = await fill(user_id, writer, options.messages)
    searching = await Searching.open(server, token)
    print(f"\n{'query':<28}{'p50 ms':>9}{'p99 ms':>9}{'most':>9}{'Python':>9}{'Redis':>9}{'slowest':>26}")
    for title, queries in kinds_of_queries(writer, texts).items():
        await time_queries(server, searching, title, list(queries))
    await compare(searching, writer, texts, options.compare)
    faults = await index_faults(user_id=user_id)
    print(f"The index {'agrees' if not faults else 'does not agree'} with the data.")
    await weigh(user_id, len(texts))
    await connection.close()
    if faults:
        sys.exit("\n".join(faults[:20]))


async def register(server: Server, email: str) -> tuple[str, str]:
    """The id and the token of a new user."""
    account = {"email": email, "username": "bench", "password": "correct horse"}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        signed_in = (await http.post("/api/auth/register", json=account)).json()
    return signed_in["user"]["id"], signed_in["token"]


async def fill(user_id: str, writer: Writer, count: int) -> list[Text]:
    """Store the messages, oldest first, in commits of AT_ONCE; the answer has the newest first."""
    sessions = [Session(user_id, new_id(), title=f"Session {number}") for number in range(SESSIONS)]
    async with unit_of_work(user_id) as work:
        for session in sessions:
            Session.objects.create(work, session)
    texts: list[Text] = []
    started = time.perf_counter()
    while len(texts) < count:
        session = sessions[len(texts) // AT_ONCE % SESSIONS]
        async with unit_of_work(user_id) as work:
            for _ in range(min(AT_ONCE, count - len(texts))):
                texts.append(text := Text(new_id(), *writer.text()))
                Message.objects.create(work, message_of(user_id, session, text))
            Session.objects.add(work, session, message_count=AT_ONCE)
    print(f"{count} messages written in {time.perf_counter() - started:.0f} s")
    return texts[::-1]


def message_of(user_id: str, session: Session, text: Text) -> Message:
    moment = time_of(text.id)
    return Message(
        user_id,
        text.id,
        session_id=session.id,
        role="user",
        text=text.content,
        created_at=moment,
        updated_at=moment,
    )


# ---- asking
class Searching:
    """One connection that asks one search after the other."""

    def __init__(self, token: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._token, self._reader, self._writer = token, reader, writer

    @classmethod
    async def open(cls, server: Server, token: str) -> "Searching":
        return cls(token, *await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 24))

    async def ask(self, **query: Any) -> tuple[dict[str, Any], float]:
        """The answer, and how many milliseconds it took."""
        path = f"/api/search?{httpx.QueryParams(query)}"
        head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        started = time.perf_counter()
        self._writer.write(head.encode())
        status, body = await read_answer(self._reader)
        elapsed = time.perf_counter() - started
        if status != 200:
            sys.exit(f"{path} was answered {status}: {body!r}")
        return orjson.loads(body), elapsed * 1000

    async def ids(self, text: str, most: int) -> list[str]:
        """The ids of the newest messages found, page by page."""
        ids: list[str] = []
        cursor: str | None = ""
        while cursor is not None and len(ids) < most:
            answer, _ = await self.ask(q=text, type="message", limit=100, cursor=cursor)
            ids += [result["message"]["id"] for result in answer["results"]]
            cursor = answer["pagination"]["nextCursor"]
        return ids[:most]


def kinds_of_queries(writer: Writer, texts: list[Text]) -> dict[str, Iterator[str]]:
    def some(make: Callable[[], str]) -> Iterator[str]:
        return (make() for _ in range(QUERIES_TIMED))

    return {
        "two words of a message": some(lambda: two_words(writer, texts)),
        "two frequent words": some(lambda: " ".join(writer.random.sample(writer.english[:60], 2)) + " "),
        "Chinese, 2 to 4 characters": some(lambda: chinese(writer, texts, 2, 4)),
        "Chinese, one character": some(lambda: chinese(writer, texts, 1, 1)),
        "a beginning": some(lambda: beginning(writer, texts)),
        "a phrase": some(lambda: phrase(writer, texts)),
        "nothing to be found": some(lambda: f"{writer.random.choice(writer.english)} zzz "),
    }


def two_words(writer: Writer, texts: list[Text]) -> str:
    return " ".join(writer.random.sample(english_of(writer, texts), 2)) + " "


def beginning(writer: Writer, texts: list[Text]) -> str:
    word = writer.random.choice(english_of(writer, texts))
    return word[: writer.random.randint(1, len(word))]


def phrase(writer: Writer, texts: list[Text]) -> str:
    words = english_of(writer, texts)
    first = writer.random.randrange(len(words) - 1)
    return f'"{" ".join(words[first : first + writer.random.randint(2, 3)])}"'


def chinese(writer: Writer, texts: list[Text], least: int, most: int) -> str:
    sentences: list[str] = []
    while not sentences:
        sentences = writer.random.choice(texts).sentences
    sentence = writer.random.choice(sentences)
    first = writer.random.randrange(max(1, len(sentence) - most))
    return sentence[first : first + writer.random.randint(least, most)]


def english_of(writer: Writer, texts: list[Text]) -> list[str]:
    words: list[str] = []
    while len(words) < 2:
        words = writer.random.choice(texts).words
    return words


async def time_queries(server: Server, searching: Searching, title: str, queries: list[str]) -> None:
    python, redis = server.server_seconds(), server.redis_seconds()
    timed = [((await searching.ask(q=query))[1], query) for query in queries]
    percentiles = quantiles([elapsed for elapsed, _ in timed], n=100)
    python = (server.server_seconds() - python) * 1000 / len(queries)
    redis = (server.redis_seconds() - redis) * 1000 / len(queries)
    slowest, example = max(timed)
    print(
        f"{title:<28}{percentiles[49]:>9.1f}{percentiles[98]:>9.1f}{slowest:>9.1f}"
        f"{python:>9.2f}{redis:>9.2f}{example:>26}"
    )


# ---- comparing
async def compare(searching: Searching, writer: Writer, texts: list[Text], count: int) -> None:
    """Random queries, answered by the index and by looking at every message."""
    makers = (
        two_words,
        beginning,
        phrase,
        lambda *of: chinese(*of, 2, 4),
        lambda *of: chinese(*of, 1, 1),
        mixed,
    )
    contents = [Content(text) for text in texts]
    hits = 0
    for number in range(count):
        query = makers[number % len(makers)](writer, texts)
        scanned = [content.id for content in contents if content.has(query)][:HITS_COMPARED]
        found = await searching.ids(query, HITS_COMPARED)
        hits += len(found)
        if found != scanned:
            sys.exit(f"{query!r} finds {len(found)} messages, and a scan {len(scanned)}.")
    print(f"\n{count} random queries found what a scan finds, {hits} messages in all.")


def mixed(writer: Writer, texts: list[Text]) -> str:
    return f"{writer.random.choice(writer.english[:200])} {writer.random.choice(writer.chinese[:200])}"


class Content:
    """A text as a scan looks at it, which knows nothing of the code it is compared with."""

    def __init__(self, text: Text) -> None:
        self.id = text.id
        self._words = f" {' '.join(text.words)} "
        self._content = text.content

    def has(self, query: str) -> bool:
        if query.startswith('"'):
            return f" {query[1:-1]} " in self._words
        *words, last = query.split(" ")
        return all(map(self._has_word, words)) and self._has_beginning(last)

    def _has_word(self, word: str) -> bool:
        return word in self._content if re.search("[一-鿿]", word) else f" {word} " in self._words

    def _has_beginning(self, word: str) -> bool:
        return word in self._content if re.search("[一-鿿]", word) else not word or f" {word}" in self._words


# ---- what it costs
async def cost_of_creating(server: Server, user: User) -> None:
    """CPU of this process and of Redis for a message created by the service, with the index and without."""
    session = Session(user.id, new_id(), title="Costs")
    async with unit_of_work(user.id) as work:
        Session.objects.create(work, session)
    with_index = min([await seconds_per_message(server, user, session) for _ in range(5)])
    terms_of_object = SearchedManager.terms_of_object
    SearchedManager.terms_of_object = lambda self, instance: []  # type: ignore[method-assign]
    without = min([await seconds_per_message(server, user, session) for _ in range(5)])
    SearchedManager.terms_of_object = terms_of_object  # type: ignore[method-assign]
    for name, text in (("English", "word%d "), ("Chinese", None)):
        await largest_message(user, session, name, text)
    added = (with_index - without) * 1e6
    print(
        f"Creating a message takes {with_index * 1e6:.0f} µs of CPU without HTTP, {added:.0f} for the index."
    )


async def seconds_per_message(server: Server, user: User, session: Session) -> float:
    started = time.process_time() + server.redis_seconds()
    for _ in range(CREATED):
        await create_message(user=user, session_id=session.id, role="user", text=POST)
    return (time.process_time() + server.redis_seconds() - started) / CREATED


async def largest_message(user: User, session: Session, name: str, pattern: str | None) -> None:
    """How long the commit script holds Redis for a message of 32,000 characters."""
    if pattern:
        text = "".join(pattern % number for number in range(10_000))[:32_000]
    else:
        text = "".join(chr(0x4E00 + number * number % 20_000) for number in range(32_000))
    redis = get_client()
    times = []
    for _ in range(5):
        await redis.config_resetstat()
        await create_message(user=user, session_id=session.id, role="assistant", text=text)
        statistics = await redis.info("commandstats")
        times.append(statistics["cmdstat_evalsha"]["usec_per_call"] / 1000)
    print(f"A message of 32,000 characters, {name}: the commit takes {min(times):.1f} ms.")


async def weigh(user_id: str, count: int) -> None:
    """How much memory the index takes: what is free once it is gone."""
    redis = get_client()
    before = (await redis.info("memory"))["used_memory"]
    await remove_index(user_id=user_id)
    after = (await redis.info("memory"))["used_memory"]
    print(f"{(before - after) / count:.0f} bytes of index for each message, {after / count:.0f} of all else.")


if __name__ == "__main__":
    main()
