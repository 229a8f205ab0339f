"""Work that is due again and again, and that one process of however many does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from nanobanana.redisdb.client import ask
from nanobanana.redisdb.keys import global_key

logger = logging.getLogger(__name__)


class PeriodicJob:
    """Calls `run` once in each period of so many seconds, in the process that takes the turn.

    What `run` does must bear to be done again, and by two at once: a process can end in the middle, or take
    longer than the period.
    """

    def __init__(self, name: str, *, every: float, run: Callable[[], Awaitable[None]]) -> None:
        self.name, self.every, self.run = name, every, run

    async def keep_running(self) -> None:
        """For as long as the process lives; nothing that goes wrong ends it."""
        while True:
            try:
                await self.run_if_due()
            except (RedisError, OSError) as error:
                logger.warning("%s cannot be done now: %s", self.name, error)
            except Exception:
                logger.exception("%s failed", self.name)
            await asyncio.sleep(self.every)

    async def run_if_due(self) -> None:
        if await self.take_turn():
            await self.run()

    async def take_turn(self) -> bool:
        """Whether this process is the one that does it now; one is, in each period."""
        life = round(self.every * 1000)
        return bool(await ask("SET", self.turn_key, 1, "NX", "PX", life))

    @property
    def turn_key(self) -> str:
        return global_key("turn", self.name)
