"""Which sockets one user has in this process, said in Redis, so that all processes know who is here.

Each word is one call of `scripts/presence.lua` for a user, however many sockets there are: when one is opened
or closed, a moment later to tell the others, and every HEARTBEAT seconds.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from django.conf import settings
from redis.exceptions import RedisError

from nanobanana.background import Background
from nanobanana.redisdb.keys import doorbell_channel, owner_key
from nanobanana.redisdb.scripts import Argument, Script
from realtime.peer import Peer
from realtime.roll import Roll

HEARTBEAT = 20  # seconds
LIFE = 60  # seconds that a socket counts of which nothing more is heard, as its process was killed
FAREWELL = 2  # seconds that one counts which was closed: a page that is loaded anew was never away
SETTLING = FAREWELL + 0.1  # seconds from a change until it is told, along with those that came meanwhile

logger = logging.getLogger(__name__)
_presence = Script(Path(__file__).parent / "scripts" / "presence.lua")

Change = tuple[Literal["open", "closed", "forget"], str]


class Attendance:
    """The open sockets of one user here; what is said of them in Redis stands in `peer.entered`."""

    def __init__(self, user_id: str, background: Background) -> None:
        self.peers: set[Peer] = set()
        self._user_id = user_id
        self._background = background
        self._timer: asyncio.TimerHandle | None = None
        self._is_due_again = False

    async def enter(self, peer: Peer) -> bool:
        """Count the socket in; False when the user has SOCKETS_PER_USER already."""
        self.peers.add(peer)
        roll = await call_the_roll(self._user_id, self._news_of([peer]), most=settings.SOCKETS_PER_USER)
        if roll is None:
            self.peers.discard(peer)
            return False
        peer.take_over(roll)
        self.tell_soon()
        return True

    def leave(self, peer: Peer) -> None:
        if peer in self.peers:
            self.peers.discard(peer)
            self._background.spawn(self._say([("closed", peer.entered)]))
            self.tell_soon()

    def tell_soon(self) -> None:
        """Something changed: tell it, once it has settled."""
        if self._timer is not None:
            self._is_due_again = True
            return
        self._timer = asyncio.get_running_loop().call_later(SETTLING, self._tell)

    async def beat(self) -> Roll | None:
        """Say that the sockets are still open; who is here then, None when nobody can know."""
        return await self._say(self._news_of(self.peers), tell="changed")

    def _tell(self) -> None:
        self._timer = None
        self._background.spawn(self._say(self._news_of(self.peers), tell="always"))
        if self._is_due_again:
            self._is_due_again = False
            self.tell_soon()

    def _news_of(self, peers: Iterable[Peer]) -> list[Change]:
        """That they are open, under what is to be said of them now."""
        changes: list[Change] = []
        for peer in peers:
            before, peer.entered = peer.entered, peer.entry.encode()
            if before not in {"", peer.entered}:
                changes.append(("forget", before))
            changes.append(("open", peer.entered))
        return changes

    async def _say(self, changes: Sequence[Change], tell: str = "never") -> Roll | None:
        try:
            return await call_the_roll(self._user_id, changes, tell=tell)
        except (RedisError, OSError) as error:
            logger.warning("Who is here of %s is said later: %s", self._user_id, error)
            return None


async def call_the_roll(
    user_id: str, changes: Sequence[Change] = (), *, most: int = 0, tell: str = "never"
) -> Roll | None:
    """Say what changed, and hear who is here; None when `most` sockets are open already."""
    arguments: list[Argument] = [LIFE * 1000, FAREWELL * 1000, most, tell, doorbell_channel(user_id)]
    flat = [word for change in changes for word in change]
    is_in, *roll = await _presence([owner_key(user_id, "presence")], [*arguments, *flat])
    return Roll.of(*roll) if is_in else None
