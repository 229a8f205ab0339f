"""Lua scripts, kept in `scripts/*.lua`, called by their digest."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from nanobanana.redisdb.client import SECONDS_TO_ANSWER, get_client

Argument = str | bytes | int | float


class Script:
    """A Lua file. Its first lines say what KEYS, ARGV and the answer are."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run the script; a server that does not know it (new, restarted, failed over) gets the source."""
        client = get_client()
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            try:
                return await client.execute_command("EVALSHA", self.digest, len(keys), *keys, *arguments)
            except NoScriptError:
                return await client.execute_command("EVAL", self.source, len(keys), *keys, *arguments)


_directory = Path(__file__).parent / "scripts"
commit = Script(_directory / "commit.lua")
fetch = Script(_directory / "fetch.lua")
read_log = Script(_directory / "read_log.lua")
replace_value = Script(_directory / "replace_value.lua")
