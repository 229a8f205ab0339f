"""Whether a storage does all that is needed of it, tried with an object that is gone afterwards."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import httpx

from media_store.storage.base import Storage, StorageUnavailable
from nanobanana.errors import APIError
from nanobanana.redisdb.ids import new_id

SIZE = 100_000  # bytes
START, LENGTH = 1000, 500
MIME = "image/png"
LIFE = 60  # seconds
FETCH_TIMEOUT = 10
OK, FAILED, SKIPPED = "ok", "failed", "skipped"


class Step(NamedTuple):
    name: str
    state: str
    milliseconds: int
    explanation: str = ""


class StepFailed(Exception):
    """Something came back that is not what was stored."""


class StepSkipped(Exception):
    """There is nothing to try here."""


class Probe:
    """One object, on its way through a storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._prefix = f"check-storage/{new_id()}"
        self._key = f"{self._prefix}/probe"
        self._data = os.urandom(SIZE)

    async def run(self) -> AsyncIterator[Step]:
        """Try one thing after another. When the first fails, the others cannot work."""
        written = await _tried("write", self._write)
        yield written
        steps = {
            "read": self._read,
            "read a part": self._read_part,
            "sign": self._sign,
            "list": self._list,
            "delete": self._delete,
        }
        for name, function in steps.items():
            if written.state == OK:
                yield await _tried(name, function)
            else:
                yield Step(name, SKIPPED, 0, "Nothing could be written.")

    async def _write(self) -> None:
        await self._storage.put(self._key, self._data)

    async def _read(self) -> None:
        _expect(await self._content() == self._data, "Other bytes came back than were written.")

    async def _read_part(self) -> None:
        part = await self._content(START, LENGTH)
        _expect(part == self._data[START : START + LENGTH], "Another part came back than was asked for.")

    async def _sign(self) -> None:
        headers = {"Content-Type": MIME}
        address = await self._storage.presign(self._key, life=LIFE, headers=headers)
        if address is None:
            raise StepSkipped("This storage needs none: its files come from this server.")
        await self._fetch(address.url)

    async def _fetch(self, url: str) -> None:
        place = url.partition("?")[0]
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT) as client:
                answer = await client.get(url)
        except httpx.HTTPError as error:
            reason = f"{place} cannot be fetched ({error!r}): browsers could not either."
            raise StepFailed(reason) from error
        _expect(
            answer.status_code == 200,
            f"{place} answers {answer.status_code}: check the region, the endpoint and this machine's clock; "
            "behind CDN_BASE_URL, that the CDN may read the bucket.",
        )
        _expect(answer.content == self._data, f"{place} has other bytes than were written.")

    async def _list(self) -> None:
        keys = [key async for key in self._storage.list(self._prefix)]
        _expect(keys == [self._key], "The object is not in the list of its prefix.")

    async def _delete(self) -> None:
        await self._storage.delete(self._key)
        keys = [key async for key in self._storage.list(self._prefix)]
        _expect(not keys, "The object is still there after it was deleted.")

    async def _content(self, start: int = 0, length: int | None = None) -> bytes:
        return b"".join([chunk async for chunk in self._storage.open(self._key, start, length)])


async def _tried(name: str, function: Callable[[], Awaitable[None]]) -> Step:
    begin = time.perf_counter()
    state, explanation = OK, ""
    try:
        await function()
    except StepSkipped as reason:
        state, explanation = SKIPPED, str(reason)
    except (StepFailed, APIError) as error:
        state, explanation = FAILED, explained(error)
    return Step(name, state, round((time.perf_counter() - begin) * 1000), explanation)


def explained(error: Exception) -> str:
    """What went wrong, for an operator."""
    return error.explanation if isinstance(error, StorageUnavailable) else str(error)


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)
