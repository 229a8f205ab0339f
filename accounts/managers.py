"""Where accounts are stored and found."""

import logging
import secrets
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import ask
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.keys import doorbell_channel, events_key, global_key, log_key, owner_key
from nanobanana.redisdb.managers import Manager
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from accounts.models import Device, User

PENDING = "pending:"
CLAIM_HELD = 60_000  # milliseconds: longer than a registration takes
UNCONFIRMED_KEPT = 600_000
TICKET_LIFE = 30  # seconds
STEP = 1000  # devices removed at once
TURN = 60  # seconds

logger = logging.getLogger(__name__)


class UserManager(Manager["User"]):
    """Users, the unique e-mail addresses, and the list of accounts being deleted.

    The address is the one fact outside the user's slot, so it is claimed first (pending, for a minute), then
    the user is stored, then the claim confirmed. Until then the user's keys have a life, so that a crash at
    any step leaves nothing that lasts.
    """

    async def claim_email(self, email: str, user_id: str) -> bool:
        """Take the address for a user about to be stored; False when it is somebody's."""
        if await self._replace_holder(email, "", PENDING + user_id, CLAIM_HELD):
            return True
        holder = await self._holder(email)
        if not holder or holder.startswith(PENDING) or await self._exists(holder):
            return False
        return await self._replace_holder(email, holder, PENDING + user_id, CLAIM_HELD)

    async def confirm_email(self, email: str, user_id: str) -> bool:
        """Make the claim last; False when it ran out meanwhile."""
        return await self._replace_holder(email, PENDING + user_id, user_id, "")

    async def release_email(self, email: str, user_id: str) -> None:
        """Free the address if it is this user's."""
        for holder in (user_id, PENDING + user_id):
            await self._replace_holder(email, holder, "", "")

    async def id_of_email(self, email: str) -> str | None:
        holder = await self._holder(email)
        return holder if is_id(holder) else None

    def keep_for_now(self, work: UnitOfWork, user: "User", device: "Device") -> None:
        """Give everything a registration writes a life, until `keep`."""
        for key in self._registration_keys(user, device):
            work.write("expire", key, UNCONFIRMED_KEPT)

    def keep(self, work: UnitOfWork, user: "User", device: "Device") -> None:
        for key in self._registration_keys(user, device):
            work.write("persist", key)

    def _registration_keys(self, user: "User", device: "Device") -> list[str]:
        return [user.key, device.key, device.indexes[0].key_of(device), log_key(user.id)]

    # ---- accounts being deleted
    async def begin_deletion(self, user: "User") -> None:
        """Note the account outside its slot, so that an interrupted deletion is found and finished."""
        await ask("HSET", global_key("deletions"), user.id, user.email)

    async def deletions(self) -> dict[str, str]:
        """The accounts whose deletion began: {user id: e-mail}."""
        return await ask("HGETALL", global_key("deletions"))

    async def end_deletion(self, user_id: str) -> None:
        await ask("UNLINK", log_key(user_id), events_key(user_id))
        await ask("HDEL", global_key("deletions"), user_id)

    async def take_turn(self) -> bool:
        """Whether this process is the one that looks after the deletions now; one is, in each TURN."""
        return bool(await ask("SET", global_key("deletions", "turn"), 1, "NX", "EX", TURN))

    async def _holder(self, email: str) -> str | None:
        """Whose the address is: a user id, a claim, or None."""
        return await ask("GET", global_key("email", email))

    async def _replace_holder(self, email: str, before: str, after: str, life: int | str) -> bool:
        """Whether the address went from the hands of `before` to those of `after`."""
        return bool(await scripts.replace_value([global_key("email", email)], [before, after, life]))

    async def _exists(self, user_id: str) -> bool:
        return bool(await ask("EXISTS", self.model.key_prefix(user_id) + user_id))


class DeviceManager(Manager["Device"]):
    """Devices, their one-time tickets, and the word that a device is signed out."""

    async def some_ids(self, user_id: str) -> list[str]:
        """The ids of the user's devices, as many as can be removed at once."""
        return await self.ids(user_id, "devices", first=0, limit=STEP)

    async def say_signed_out(self, user_id: str, word: str) -> None:
        """Tell every process which sockets to close: `<deviceId>`, `*`, see realtime/hub.py.

        The devices are signed out already; a process that misses the word looks when Redis is back.
        """
        try:
            await ask("PUBLISH", doorbell_channel(user_id), word)
        except (RedisError, OSError) as error:
            logger.error("Nobody heard %s of %s: %s", word, user_id, error)

    async def make_ticket(self, user_id: str, device_id: str, expires_at: int) -> str:
        """A word that opens one socket within TICKET_LIFE seconds; the socket ends with the token."""
        ticket = f"{user_id}.{secrets.token_urlsafe(24)}"
        await ask("SET", self._ticket_key(user_id, ticket), f"{device_id}:{expires_at}", "EX", TICKET_LIFE)
        return ticket

    async def take_ticket(self, ticket: str) -> tuple[str, str, int] | None:
        """(user id, device id, expiry) of a ticket, which is gone then; None when there is none."""
        user_id, _, word = ticket.partition(".")
        if not is_id(user_id) or not word.isascii() or len(word) > 64:
            return None
        content = await ask("GETDEL", self._ticket_key(user_id, ticket))
        if not content:
            return None
        device_id, _, expires_at = content.partition(":")
        return user_id, device_id, int(expires_at)

    def _ticket_key(self, user_id: str, ticket: str) -> str:
        return owner_key(user_id, "ticket", ticket.partition(".")[2])
