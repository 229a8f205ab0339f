"""Where accounts are stored and found."""

import logging
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from redis.exceptions import RedisError

from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import ask, ask_all, get_client
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.exceptions import DoesNotExist
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import is_id, new_id
from nanobanana.redisdb.keys import doorbell_channel, events_key, global_key, log_key, owner_key
from nanobanana.redisdb.managers import Manager
from nanobanana.redisdb.scripts import Script
from nanobanana.redisdb.unit_of_work import UnitOfWork
from nanobanana.redisdb.walking import keys_like, lasting
from nanobanana.throttling import Budget, Standing

if TYPE_CHECKING:
    from accounts.models import Device, Password, User

PENDING = "pending:"
CLAIM_HELD = 60_000  # milliseconds: longer than a registration takes
UNCONFIRMED_KEPT = 600_000
TICKET_LIFE = 30  # seconds
LINK_LIFE = 3600
DEVICE_LIFE = 1000 * max(settings.JWT_EXPIRES_IN, settings.REFRESH_EXPIRES_IN)  # milliseconds
DEVICES_KEPT = 50  # of one user
SEEN_EVERY = 300_000  # milliseconds: how old a device's `last_seen_at` may become while it makes requests
STEP = 1000  # devices removed at once

logger = logging.getLogger(__name__)
_admit = Script(Path(__file__).parent / "scripts" / "admit.lua")


class Admission(NamedTuple):
    """What is known of a request once it is let in."""

    user: list[str]  # the user's hash as pairs
    device_name: str
    head: Cursor  # where the user's log stood just then
    standing: Standing | None  # None without a limit


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
        holder = await self.holder(email)
        if not holder or holder.startswith(PENDING) or await self.exists(holder):
            return False
        return await self._replace_holder(email, holder, PENDING + user_id, CLAIM_HELD)

    async def confirm_email(self, email: str, user_id: str) -> bool:
        """Make the claim last; False when it ran out meanwhile."""
        return await self._replace_holder(email, PENDING + user_id, user_id, "")

    async def release_email(self, email: str, user_id: str) -> None:
        """Free the address if it is this user's."""
        for holder in (user_id, PENDING + user_id):
            await self._replace_holder(email, holder, "", "")

    async def give_email(self, email: str, before: str, user_id: str) -> bool:
        """Have an address be a stored user's instead of what held it `before`; False when that changed."""
        return await self._replace_holder(email, before, user_id, "")

    async def iterate_emails(self) -> AsyncIterator[tuple[str, str]]:
        """(address, its holder) of all that are claimed, in no order."""
        prefix = global_key("email", "")
        async for keys in keys_like(global_key("email", "*")):
            holders = await ask("MGET", *keys) if keys else []
            for key, holder in zip(keys, holders, strict=True):
                if holder:
                    yield key.removeprefix(prefix), holder

    async def is_kept(self, user_id: str) -> bool:
        """Whether the user is stored for good: not one whose registration is under way, or broke off."""
        return bool(await lasting([self.model.key_prefix(user_id) + user_id]))

    async def id_of_email(self, email: str) -> str | None:
        holder = await self.holder(email)
        return holder if is_id(holder) else None

    def keep_for_now(self, work: UnitOfWork, user: "User", device: "Device | None") -> None:
        """Give everything a registration writes a life, until `keep`."""
        for key in self._registration_keys(user, device):
            work.write("expire", key, UNCONFIRMED_KEPT)

    def keep(self, work: UnitOfWork, user: "User", device: "Device | None") -> None:
        for key in self._registration_keys(user, device):
            work.write("persist", key)
        if device:
            work.write("expire", device.key, DEVICE_LIFE)

    def _registration_keys(self, user: "User", device: "Device | None") -> list[str]:
        password_key = owner_key(user.id, "password", user.id)
        of_device = [device.key, device.indexes[0].key(user.id)] if device else []
        return [user.key, password_key, log_key(user.id), *of_device]

    # ---- the links of mails
    async def keep_link(self, user_id: str, purpose: str, digest: str, holds_for: str) -> int:
        """Keep a link for LINK_LIFE seconds; how many of the purpose the user has had in such a time."""
        count = owner_key(user_id, purpose, "count")
        pipeline = get_client().pipeline(transaction=True)
        pipeline.set(self.link_key(user_id, purpose, digest), holds_for, ex=LINK_LIFE)
        pipeline.set(count, 0, ex=LINK_LIFE, nx=True)
        pipeline.incr(count)
        return (await ask_all(pipeline))[-1]

    async def what_link_holds_for(self, user_id: str, purpose: str, digest: str) -> str | None:
        return await ask("GET", self.link_key(user_id, purpose, digest))

    def link_key(self, user_id: str, purpose: str, digest: str) -> str:
        return owner_key(user_id, purpose, digest)

    # ---- accounts being deleted
    async def begin_deletion(self, user: "User") -> None:
        """Note the account outside its slot, so that an interrupted deletion is found and finished."""
        await ask("HSET", global_key("deletions"), user.id, user.email)

    async def deletions(self) -> dict[str, str]:
        """The accounts whose deletion began: {user id: e-mail}."""
        return await ask("HGETALL", global_key("deletions"))

    async def deletion_of(self, user_id: str) -> str | None:
        """The address of an account whose deletion began."""
        return await ask("HGET", global_key("deletions"), user_id)

    async def end_deletion(self, user_id: str) -> None:
        await ask("UNLINK", log_key(user_id), events_key(user_id))
        await ask("HDEL", global_key("deletions"), user_id)

    async def holder(self, email: str) -> str:
        """Whose the address is: a user id, a claim, or ""."""
        return await ask("GET", global_key("email", email)) or ""

    async def _replace_holder(self, email: str, before: str, after: str, life: int | str) -> bool:
        """Whether the address went from the hands of `before` to those of `after`."""
        return bool(await scripts.replace_value([global_key("email", email)], [before, after, life]))

    async def exists(self, user_id: str) -> bool:
        return bool(await ask("EXISTS", self.model.key_prefix(user_id) + user_id))


class PasswordManager(Manager["Password"]):
    async def find(self, user_id: str) -> "Password | None":
        try:
            return await self.aget(user_id, user_id)
        except DoesNotExist:
            return None


class DeviceManager(Manager["Device"]):
    """Devices, their one-time tickets, and the word that a device is signed out.

    A device lives as long as its newest tokens; Redis lets it go then, and the index forgets it at the next
    sign-in.
    """

    def create(self, work: UnitOfWork, instance: "Device") -> None:
        super().create(work, instance)
        work.write("expire", instance.key, DEVICE_LIFE)

    def renew(self, work: UnitOfWork, device: "Device", **changes: Any) -> None:
        """Let the device live on from now, as it has new tokens."""
        moment = now()
        self.update(work, device, renewed_at=moment, last_seen_at=moment, **changes)
        work.write("expire", device.key, DEVICE_LIFE)

    def rotate(self, work: UnitOfWork, device: "Device") -> None:
        """Put a new refresh id in the place of the one that was read, if it is still that one."""
        work.expect_equal(device, "refresh_id")
        self.renew(work, device, refresh_id=new_id(), previous_refresh_id=device.refresh_id, rotated_at=now())

    async def surplus_ids(self, user_id: str) -> list[str]:
        """The devices that outlived their tokens, and those over DEVICES_KEPT, renewed longest ago."""
        key = owner_key(user_id, "devices")
        entries = await ask("ZRANGE", key, 0, -1, "WITHSCORES")
        ids, scores = entries[::2], entries[1::2]
        expired = sum(float(score) <= milliseconds(now()) - DEVICE_LIFE for score in scores)
        return ids[: max(expired, len(ids) - DEVICES_KEPT)]

    async def admit(self, user: "User", device: "Device", budget: Budget | None) -> "Admission | None":
        """Count a request of this device; None when user or device is gone."""
        bucket = owner_key(user.id, "limit", budget.name if budget else "none")
        pairs, found, standing = await self._spend([bucket, user.key, device.key, log_key(user.id)], budget)
        if not pairs:
            return None
        name, epoch, offset = found
        return Admission(pairs, name, Cursor(epoch, int(offset)), standing)

    async def admit_stranger(self, site: str, budget: Budget) -> Standing | None:
        """Count a request from this address: how it stands now; None where there is no limit."""
        if not budget.quota:
            return None
        _, _, standing = await self._spend([global_key("limit", site, budget.name)], budget)
        return standing

    async def _spend(
        self, keys: list[str], budget: Budget | None
    ) -> tuple[list[str], list[str], Standing | None]:
        quota, interval = (budget.quota, budget.interval) if budget else (0, 0)
        pairs, found, *counted = await _admit(keys, [quota, interval, SEEN_EVERY]) or [[], []]
        return pairs, found, Standing(budget, *counted) if budget and counted else None

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
