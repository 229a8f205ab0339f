"""Where accounts are stored and found."""

import secrets
from typing import TYPE_CHECKING

from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import is_id
from nanobanana.redisdb.keys import doorbell_channel, global_key, log_key, owner_key
from nanobanana.redisdb.managers import Manager
from nanobanana.redisdb.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from accounts.models import Device, User

PENDING = "pending:"
CLAIM_HELD = 60_000  # milliseconds: longer than a registration takes
UNCONFIRMED_KEPT = 600_000
TICKET_LIFE = 30  # seconds
ALL_AT_ONCE = 10_000


class UserManager(Manager["User"]):
    """Users, the unique e-mail addresses, and the list of accounts being deleted.

    The address is the one fact outside the user's slot, so it is claimed first (pending, for a minute), then
    the user is stored, then the claim confirmed. Until then the user's keys have a life, so that a crash at
    any step leaves nothing that lasts.
    """

    async def claim_email(self, email: str, user_id: str) -> bool:
        """Take the address for a user about to be stored; False when it is somebody's."""
        key = self._email_key(email)
        if await scripts.replace_value([key], ["", PENDING + user_id, CLAIM_HELD]):
            return True
        holder = await get_client().get(key)
        if not holder or holder.startswith(PENDING) or await self._exists(holder):
            return False
        return bool(await scripts.replace_value([key], [holder, PENDING + user_id, CLAIM_HELD]))

    async def confirm_email(self, email: str, user_id: str) -> bool:
        """Make the claim last; False when it ran out meanwhile."""
        return bool(await scripts.replace_value([self._email_key(email)], [PENDING + user_id, user_id, ""]))

    async def release_email(self, email: str, user_id: str) -> None:
        """Free the address if it is this user's."""
        for holder in (user_id, PENDING + user_id):
            await scripts.replace_value([self._email_key(email)], [holder, "", ""])

    async def id_of_email(self, email: str) -> str | None:
        holder = await get_client().get(self._email_key(email))
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
        await get_client().hset(global_key("deletions"), user.id, user.email)

    async def deletions(self) -> dict[str, str]:
        """The accounts whose deletion began: {user id: e-mail}."""
        return await get_client().hgetall(global_key("deletions"))

    async def end_deletion(self, user_id: str) -> None:
        await get_client().unlink(
            *[
                owner_key(user_id, *parts)
                for parts in (("log",), ("events",), ("devices",), ("user", user_id))
            ]
        )
        await get_client().hdel(global_key("deletions"), user_id)

    async def _exists(self, user_id: str) -> bool:
        return bool(await get_client().exists(self.model.key_prefix(user_id) + user_id))

    def _email_key(self, email: str) -> str:
        return global_key("email", email)


class DeviceManager(Manager["Device"]):
    """Devices, their one-time tickets, and the word that a device is signed out."""

    async def all_ids(self, user_id: str) -> list[str]:
        return await self.ids(user_id, "devices", first=0, limit=ALL_AT_ONCE)

    async def say_signed_out(self, user_id: str, word: str) -> None:
        """Tell every process which sockets to close: `<deviceId>`, `*`, see realtime/hub.py."""
        await get_client().publish(doorbell_channel(user_id), word)

    async def make_ticket(self, user_id: str, device_id: str) -> str:
        """A word that opens one socket within TICKET_LIFE seconds."""
        ticket = f"{user_id}.{secrets.token_urlsafe(24)}"
        await get_client().set(self._ticket_key(user_id, ticket), device_id, ex=TICKET_LIFE)
        return ticket

    async def take_ticket(self, ticket: str) -> tuple[str, str] | None:
        """(user id, device id) of a ticket, which is gone then; None when there is none."""
        user_id, _, word = ticket.partition(".")
        if not is_id(user_id) or not word.isascii() or len(word) > 64:
            return None
        device_id = await get_client().getdel(self._ticket_key(user_id, ticket))
        return (user_id, device_id) if device_id else None

    def _ticket_key(self, user_id: str, ticket: str) -> str:
        return owner_key(user_id, "ticket", ticket.partition(".")[2])
