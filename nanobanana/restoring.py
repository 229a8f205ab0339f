"""Taking backups of accounts, and putting them back: one account after another, each checked.

While a restore is under way, and when it was interrupted, `nb:restoring` says so. Each account appears as
the last of what it has, so each is there whole or not at all; run again, a restore goes on with the rest.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from accounts.models import User
from accounts.services.access import UnreadableAccount, find_account, has_account, owner_of
from accounts.services.claims import give_address, is_being_deleted, leave_address
from media_store.storage import ObjectNotFound, get_storage
from nanobanana.backups import BackedUpUser, Backup, BackupWriter
from nanobanana.data_check import RESTORING, check_notes, check_user, checker
from nanobanana.progress import Advance
from nanobanana.redisdb.checking import Findings
from nanobanana.redisdb.claims import batches
from nanobanana.redisdb.client import ask
from nanobanana.redisdb.event_log import ring
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.snapshots import Snapshots
from nanobanana.redisdb.walking import keys_by_owner, keys_of
from nanobanana.serializers import timestamp

DISCARDED_AT_ONCE = 1000


# ---- taking
async def back_up(
    writer: BackupWriter, *, user_ids: Sequence[str] | None, advance: Advance = lambda _: None
) -> list[str]:
    """Add these accounts, or all, with the bytes of their pictures if the backup has any; sentences about
    those that cannot be read, and are left out.
    """
    left_out = []
    async for user_id, keys in _keys_of(user_ids, advance):
        try:
            user = await find_account(user_id)
        except UnreadableAccount as error:
            left_out.append(str(error))
            user = None
        if user:
            await writer.add_user(user.id, user.email, Snapshots(checker()).take(user.id, keys))
            if writer.media is not None:
                await _add_media(writer, user)
        advance(len(keys))
    return left_out


async def _keys_of(
    user_ids: Sequence[str] | None, advance: Advance
) -> AsyncIterator[tuple[str, Sequence[str]]]:
    if user_ids is None:
        async for user_id, keys in keys_by_owner(advance):
            yield user_id, keys
    for user_id in user_ids or ():
        yield user_id, await keys_of(user_id)


async def _add_media(writer: BackupWriter, user: User) -> None:
    async for key in get_storage().list(user.id):
        try:
            content = b"".join([chunk async for chunk in get_storage().open(key)])
        except ObjectNotFound:
            continue  # it was removed since it was listed
        writer.add_object(key, content)


# ---- putting back
@dataclass
class Restored:
    """What became of a restore; `skipped` are sentences."""

    users: int = 0
    keys: int = 0
    media: int = 0
    skipped: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


async def restore(
    backup: Backup,
    *,
    users: Sequence[BackedUpUser],
    replace: bool,
    with_media: bool,
    advance: Advance = lambda _: None,
) -> Restored:
    """Put these accounts of a verified backup back; `advance` counts accounts.

    One that is here already stays as it is, unless `replace`. Others are not touched.
    """
    await ask("SET", RESTORING, json.dumps({"backup": backup.manifest.sha256, "since": timestamp(now())}))
    restoring = _Restore(backup, replace, with_media)
    remaining = {user.id: user for user in users}
    async for user_id, keys in keys_by_owner():
        if user_id in remaining:
            await restoring.put_back(remaining.pop(user_id), keys)
            advance(1)
    for user in remaining.values():
        await restoring.put_back(user, [])
        advance(1)
    await ask("UNLINK", RESTORING)
    return restoring.restored


class _Restore:
    def __init__(self, backup: Backup, replace: bool, with_media: bool) -> None:
        self._backup, self._replace, self._with_media = backup, replace, with_media
        self._snapshots = Snapshots(checker())
        self.restored = Restored()

    async def put_back(self, user: BackedUpUser, old_keys: Sequence[str]) -> None:
        obstacle = await self._obstacle(user)
        if obstacle:
            self.restored.skipped.append(f"{user.email} ({user.id}) {obstacle}.")
            return
        await leave_address(user_id=user.id, unless=user.email)
        await _discard(User(user.id, user.id).key, old_keys)
        if self._with_media:
            await self._put_media(user)
        names = {record.name for record in self._backup.records(user.id)}
        keys = await self._snapshots.put(user.id, self._backup.records(user.id), names)
        await give_address(user_id=user.id)
        await check_notes(findings=Findings(), user_id=user.id, repair=True)  # notes are in no backup
        await ring(user.id)
        self.restored.findings.add(await check_user(user.id, keys, repair=True))
        self.restored.users += 1
        self.restored.keys += len(names)

    async def _obstacle(self, user: BackedUpUser) -> str | None:
        """Why an account cannot be put back."""
        other_id = await owner_of(user.email)
        if other_id not in {None, user.id}:
            return f"cannot be put back: {other_id} has the address now"
        if await is_being_deleted(user_id=user.id):
            return "is being deleted here"
        return "is here already" if not self._replace and await has_account(user.id) else None

    async def _put_media(self, user: BackedUpUser) -> None:
        for key in self._backup.media_of(user.id):
            await get_storage().put(key, self._backup.object(key))
            self.restored.media += 1


async def _discard(account_key: str, keys: Sequence[str]) -> None:
    """Remove all that is there, the account first, so that it is gone for everyone at once."""
    await ask("UNLINK", account_key)
    for some in batches(keys, DISCARDED_AT_ONCE):
        await ask("UNLINK", *some)
