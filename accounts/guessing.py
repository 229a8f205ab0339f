"""Protection against guessing passwords. It is no rate limit, and cannot be switched off.

Failures are counted for an address from one IP, and for an IP as a whole; so strangers elsewhere, however
many, lock themselves out and not the owner. A device of the account, shown by its token, is counted apart:
who shares its IP cannot lock it out either. Every count is in Redis; while Redis is away nobody gets to try.
"""

import asyncio
import hashlib
import math
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nanobanana.errors import CredentialsWrong, TooManyRequests
from nanobanana.redisdb.keys import global_key
from nanobanana.redisdb.scripts import Script
from nanobanana.throttling import site_of

TRIES_FOR_ADDRESS = 5  # in a WINDOW, from one IP or one device
TRIES_FROM_IP = 50
WINDOW = 15 * 60 * 1000  # milliseconds, as the next two
LONGEST_LOCK = 60 * 60 * 1000
REMEMBERED = 24 * 60 * 60 * 1000
OTHERS_ARE_CHECKED = -1  # says the script: the tries under way leave no room
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before looking again

_count = Script(Path(__file__).parent / "scripts" / "guessing.lua")


@dataclass(frozen=True)
class Counter:
    """The tries of one source at one group of counters, which can be freed together."""

    group: str
    source: str
    limit: int

    @property
    def keys(self) -> list[str]:
        return [
            _key(self.group, "freed"),
            _key(self.group, self.source, "under-way"),
            _key(self.group, self.source, "failures"),
            _key(self.group, self.source, "lock"),
        ]

    async def ask(self, operation: str, attempt: str = "") -> int:
        """Do an operation of `guessing.lua`; milliseconds to wait, or 0."""
        return await _count(self.keys, [operation, attempt, self.limit, WINDOW, LONGEST_LOCK, REMEMBERED])


@asynccontextmanager
async def one_try(*, email: str, ip: str, device_id: str | None = None) -> AsyncIterator[None]:
    """Check a password inside: CredentialsWrong is a failure, another error no try at all.

    TooManyRequests when there were too many failures. `device_id` is of a device of this account.
    """
    site = site_of(ip) or "nowhere"  # a unix socket has no address, and a hash tag may not be empty
    at_address, from_ip = _counter_of_address(email, site), Counter(site, "any-address", TRIES_FROM_IP)
    gates = [_counter_of_address(email, device_id)] if device_id else [at_address, from_ip]
    of_owner = {*gates, at_address} - {from_ip}
    attempt = secrets.token_hex(8)
    await _begin(gates, attempt)
    try:
        yield
    except CredentialsWrong:
        await _ask_all({*of_owner, from_ip}, "fail", attempt)
        raise
    except Exception:
        await _ask_all(gates, "withdraw", attempt)
        raise
    await _ask_all(of_owner, "succeed", attempt)
    await from_ip.ask("withdraw", attempt)


async def free(email: str) -> None:
    """Forget every failure at this address, wherever it came from."""
    await _counter_of_address(email, "").ask("free")


async def _begin(gates: list[Counter], attempt: str) -> None:
    for position, counter in enumerate(gates):
        wait = await _take_turn(counter, attempt)
        if wait:
            await _ask_all(gates[:position], "withdraw", attempt)
            sentence = "Too many wrong passwords; wait as long as Retry-After says, or reset the password."
            raise TooManyRequests(sentence, retry_after=max(1, math.ceil(wait / 1000)))


async def _take_turn(counter: Counter, attempt: str) -> int:
    """Begin the try when those under way leave room: right passwords, however many at once, pass in turn."""
    for pause in PAUSES:
        wait = await counter.ask("begin", attempt)
        if wait != OTHERS_ARE_CHECKED:
            return wait
        await asyncio.sleep(pause)
    return await counter.ask("begin", attempt)


async def _ask_all(counters: set[Counter] | list[Counter], operation: str, attempt: str) -> None:
    await asyncio.gather(*[counter.ask(operation, attempt) for counter in counters])


def _counter_of_address(email: str, source: str) -> Counter:
    digest = hashlib.sha256(email.encode()).hexdigest()[:32]
    return Counter(digest, source, TRIES_FOR_ADDRESS)


def _key(group: str, *parts: str) -> str:
    """One slot for each group."""
    return global_key("guesses", f"{{{group}}}", *parts)
