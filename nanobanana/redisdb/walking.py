"""All keys of a database, owner by owner, for commands: in bounded memory, however many there are."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

from nanobanana.redisdb.client import ask, get_client
from nanobanana.redisdb.keys import owner_key, split_owner_key

Advance = Callable[[int], None]
SCAN_COUNT = 1000
NO_END = -1  # what PTTL says of a key that stays
PARTS = 256  # files that names of keys go through; the owners of one are in memory at a time


async def database_size() -> int:
    """How many keys there are."""
    return await ask("DBSIZE")


async def keys_like(pattern: str, advance: Advance = lambda _: None) -> AsyncIterator[list[str]]:
    """The keys of a pattern, some at a time, found by SCAN: each that stays is given at least once.

    `advance` counts the keys that were gone over, about.
    """
    client, cursor = get_client(), None
    while cursor != 0:
        cursor, keys = await client.scan(cursor or 0, match=pattern, count=SCAN_COUNT)
        yield keys
        advance(SCAN_COUNT)


async def lasting(keys: Sequence[str]) -> list[str]:
    """Those of these keys that exist and do not go by themselves."""
    pipeline = get_client().pipeline(transaction=False)
    for key in keys:
        pipeline.pttl(key)
    lives = await pipeline.execute() if keys else []
    return [key for key, life in zip(keys, lives, strict=True) if life == NO_END]


async def keys_of(owner_id: str) -> list[str]:
    """All keys of one owner, each once. It goes over the whole database."""
    found: dict[str, None] = {}
    async for keys in keys_like(owner_key(owner_id, "*")):
        found |= dict.fromkeys(keys)
    return list(found)


async def keys_by_owner(advance: Advance = lambda _: None) -> AsyncIterator[tuple[str, list[str]]]:
    """Every owner with the names of all keys, each once; what comes meanwhile may be left out.

    An owner's keys are scattered all over a database, and Redis cannot be asked for them: so the names are
    sorted into files by their owners first.
    """
    with TemporaryDirectory(prefix="nanobanana-keys-") as directory:
        parts = [Path(directory, str(number)) for number in range(PARTS)]
        await _sort_into(parts, advance)
        for part in parts:
            for owner_id, keys in _owners_in(part):
                yield owner_id, keys


async def _sort_into(parts: list[Path], advance: Advance) -> None:
    with ExitStack() as opened:
        files = [opened.enter_context(part.open("w", encoding="ascii")) for part in parts]
        async for keys in keys_like(owner_key("*", "*"), advance):
            for key in keys:
                owner_id = _owner_of(key)
                line = json.dumps([owner_id, key])  # names may hold any bytes
                files[crc32(owner_id.encode()) % PARTS].write(f"{line}\n")


def _owner_of(key: str) -> str:
    """Whose a key is; "" for one that no owner can have."""
    try:
        return split_owner_key(key)[0]
    except ValueError:
        return ""


def _owners_in(part: Path) -> Iterator[tuple[str, list[str]]]:
    owners: dict[str, dict[str, None]] = defaultdict(dict)
    with part.open(encoding="ascii") as lines:
        for line in lines:
            owner_id, key = json.loads(line)
            owners[owner_id][key] = None
    for owner_id, keys in owners.items():
        yield owner_id, list(keys)
