"""Lua scripts, kept in `scripts/*.lua`, called by their digest."""

import hashlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from nanobanana.redisdb.connection import get_line

Argument = str | bytes | int | float
_tickets = count()


class Script:
    """A Lua file, behind the libraries it uses. Its first lines say what KEYS, ARGV and the answer are.

    All scripts can safely be run twice. Each call adds a ticket, which comes back before the answer: replies
    on a shared connection are told apart by their order alone, and no call may ever get another's.
    """

    def __init__(self, path: Path, *libraries: Path) -> None:
        body = "".join(part.read_text(encoding="utf-8") for part in (*libraries, path))
        self.source = f"return {{table.remove(ARGV), (function()\n{body}\nend)()}}"
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run the script; a server that does not know it (new, restarted, failed over) gets the source."""
        line, ticket = get_line(), str(next(_tickets))
        call = (len(keys), *keys, *arguments, ticket)
        try:
            return await line.call("EVALSHA", self.digest, *call, ticket=ticket)
        except NoScriptError:
            return await line.call("EVAL", self.source, *call, ticket=ticket)


_directory = Path(__file__).parent / "scripts"
READING = _directory / "libraries" / "reading.lua"  # for scripts of applications too
commit = Script(_directory / "commit.lua")
fetch = Script(_directory / "fetch.lua", READING)
intersect = Script(_directory / "intersect.lua")
recall = Script(_directory / "recall.lua")
read_log = Script(_directory / "read_log.lua")
replace_value = Script(_directory / "replace_value.lua")
