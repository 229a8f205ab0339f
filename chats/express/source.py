"""The Redis of the seed's own server, which is only read. Everything in it is a claim, to be checked.

user:<id>                 hash   email, username, password (bcrypt), avatar, createdAt, …
email:<e-mail>            string user id
user_sessions:<id>        zset   session ids
session:<id>              hash   userId, title, createdAt, updatedAt, deletedAt
session:<id>:messages     list   the word placeholder, then message ids
message:<id>              hash   sessionId, role, text, params and imageIds as JSON, editedOf, …
image:<id>:meta           hash   userId, sessionId, type, path, createdAt, …
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

SCAN_COUNT = 1000
READ_AT_ONCE = 500
PLACEHOLDER = "placeholder"

Fields = dict[str, str]


class ExpressSource:
    """Hashes of another type are as good as empty; lists and strings of another type are None."""

    def __init__(self, url: str) -> None:
        self._client: Any = Redis.from_url(
            url, decode_responses=True, encoding_errors="replace", protocol=2, socket_connect_timeout=5
        )

    async def open(self) -> None:
        """Fail now if it does not answer."""
        try:
            await self._client.ping()
        except Exception:
            await self.close()
            raise

    async def close(self) -> None:
        await self._client.aclose()

    async def user_ids(self) -> list[str]:
        keys = [key async for key in self._client.scan_iter("user:*", count=SCAN_COUNT)]
        return sorted({key.removeprefix("user:") for key in keys if key.count(":") == 1})

    async def user(self, user_id: str) -> Fields:
        return (await self._hashes([f"user:{user_id}"]))[0]

    async def owner_of(self, email: str) -> str | None:
        return await self._ask("GET", f"email:{email}")

    async def session_ids(self, user_id: str) -> list[str] | None:
        return await self._ask("ZRANGE", f"user_sessions:{user_id}", 0, -1)

    async def sessions(self, session_ids: Sequence[str]) -> list[Fields]:
        return await self._hashes([f"session:{each}" for each in session_ids])

    async def message_ids(self, session_id: str) -> list[str] | None:
        ids = await self._ask("LRANGE", f"session:{session_id}:messages", 0, -1)
        return ids and [each for each in dict.fromkeys(ids) if each != PLACEHOLDER]

    async def messages(self, message_ids: Sequence[str]) -> list[Fields]:
        return await self._hashes([f"message:{each}" for each in message_ids])

    async def images(self, image_ids: Sequence[str]) -> list[Fields]:
        return await self._hashes([f"image:{each}:meta" for each in image_ids])

    async def image_ids_by_user(self) -> dict[str, list[str]]:
        """No list of that server has the pictures of a user: all of them are gone over, once."""
        found: dict[str, list[str]] = defaultdict(list)
        async for keys in self._scan("image:*:meta"):
            ids = [key.removeprefix("image:").removesuffix(":meta") for key in keys]
            for image_id, fields in zip(ids, await self.images(ids), strict=True):
                found[fields.get("userId", "")].append(image_id)
        return {user_id: sorted(set(ids)) for user_id, ids in found.items()}

    async def _scan(self, pattern: str) -> AsyncIterator[list[str]]:
        cursor = None
        while cursor != 0:
            cursor, keys = await self._client.scan(cursor or 0, match=pattern, count=SCAN_COUNT)
            yield keys

    async def _hashes(self, keys: Sequence[str]) -> list[Fields]:
        found: list[Fields] = []
        for first in range(0, len(keys), READ_AT_ONCE):
            found += await self._some_hashes(keys[first : first + READ_AT_ONCE])
        return found

    async def _some_hashes(self, keys: Iterable[str]) -> list[Fields]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        replies = await pipeline.execute(raise_on_error=False)
        return [reply if isinstance(reply, dict) else {} for reply in replies]

    async def _ask(self, *command: str | int) -> Any:
        try:
            return await self._client.execute_command(*command)
        except ResponseError:
            return None
