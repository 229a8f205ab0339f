"""Whether all that is stored agrees with itself, user by user; redisdb/checking.py has the means.

Others may read and write meanwhile: what is not so from one moment to another is no fault.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import cache
from inspect import getmembers, isclass

from django.apps import apps
from redis.exceptions import ResponseError

from accounts.services.access import has_account
from accounts.services.claims import (
    addresses,
    check_address,
    check_holder,
    is_being_deleted,
    readable_account,
)
from chats.services import purge
from media_store.services import sweep
from nanobanana.notes import ALL_NOTES
from nanobanana.progress import Advance
from nanobanana.redisdb.checking import Checker, Findings, types_of
from nanobanana.redisdb.client import ask
from nanobanana.redisdb.event_log import renew_epoch
from nanobanana.redisdb.keys import global_key
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.walking import keys_by_owner, keys_of, lasting

RESTORING = global_key("restoring")  # a restore that is under way or was interrupted
SHARED = {global_key("deletions"): "hash"} | {note.key: "zset" for note in ALL_NOTES}
PASSING = ("presence",)  # sockets come and go without a commit


@cache
def checker() -> Checker:
    """It knows every model of the apps."""
    return Checker(models(), PASSING)


def models() -> list[type[Model]]:
    modules = [config.models_module for config in apps.get_app_configs() if config.models_module]
    return [
        model
        for module in modules
        for _, model in getmembers(module, isclass)
        if issubclass(model, Model) and model.__module__ == module.__name__
    ]


async def check_everything(
    *, repair: bool = False, advance: Advance = lambda _: None
) -> AsyncIterator[Findings]:
    """What is found of one user after another, then of the addresses; `advance` counts keys, each twice."""
    yield await check_restore()
    yield await check_shared()
    async for user_id, keys in keys_by_owner(advance):
        yield await check_user(user_id, keys, repair=repair)
        advance(len(keys))
    async for address, user_id in addresses():
        findings = Findings()
        part = check_holder(findings=findings, address=address, user_id=user_id, repair=repair)
        await _to_its_end(findings, f"Whose the address {address} is", part)
        yield findings


async def check_restore() -> Findings:
    """None was interrupted; it may be under way."""
    findings = Findings()
    try:
        mark = await ask("GET", RESTORING)
        since = json.loads(mark)["since"] if mark else ""
    except (ResponseError, ValueError, TypeError, KeyError) as error:
        findings.found(f"{RESTORING} cannot be read: {error}. No restore wrote it.", is_mended=False)
        return findings
    if mark:
        sentence = f"A restore began at {since} and has not ended: if it was interrupted, run it again."
        findings.found(sentence, is_mended=False)
    return findings


async def check_shared() -> Findings:
    """What all owners share is of its type."""
    findings = Findings()
    for key, found in (await types_of(list(SHARED))).items():
        if found not in {SHARED[key], "none"}:
            findings.found(f"{key} is a {found} instead of a {SHARED[key]}.", is_mended=False)
    return findings


async def check_users(user_ids: Sequence[str], *, repair: bool = False) -> Findings:
    findings = Findings()
    for user_id in user_ids:
        findings.add(await check_user(user_id, await keys_of(user_id), repair=repair))
    return findings


async def check_user(user_id: str, keys: Sequence[str], *, repair: bool = False) -> Findings:
    """What is wrong with what a user has, whose keys these are; nothing is said of who is being deleted."""
    findings = Findings()
    await _to_its_end(
        findings, f"What {user_id or 'nobody'} has", _check_user(findings, user_id, keys, repair)
    )
    return findings


async def _to_its_end(findings: Findings, what: str, part: Awaitable[None]) -> None:
    """Damage that nobody thought of stops one part of a check, and is told; the others go on."""
    try:
        await part
    except (ResponseError, ValueError, ArithmeticError) as error:
        findings.found(f"{what} could not be checked to the end: {error}", is_mended=False)


async def _check_user(findings: Findings, user_id: str, keys: Sequence[str], repair: bool) -> None:
    if not await has_account(user_id):
        findings.add(await _check_leftovers(user_id, keys))
        return
    found = await _check_account(user_id, keys, repair=repair)
    if await has_account(user_id):
        findings.add(found)


async def _check_account(user_id: str, keys: Sequence[str], *, repair: bool) -> Findings:
    """The same of an account there is; one that cannot be read has no address to look for."""
    findings = Findings(owners=1)
    what = f"What {user_id} has"
    await _to_its_end(findings, what, _check_models(findings, user_id, keys, repair))
    user = await readable_account(user_id)
    if user:
        await check_address(findings=findings, user=user, repair=repair)
    await check_notes(findings=findings, user_id=user_id, repair=repair)
    if findings.mended:
        await _to_its_end(findings, what, renew_epoch(user_id))
    return findings


async def _check_models(findings: Findings, user_id: str, keys: Sequence[str], repair: bool) -> None:
    findings.add(await checker().check(user_id, keys, repair=repair))


async def check_notes(*, findings: Findings, user_id: str, repair: bool) -> None:
    """What has to be done for the user later is noted outside of the user's slot."""
    for part in (purge, sweep):
        await part.check_note(findings=findings, user_id=user_id, repair=repair)


async def _check_leftovers(user_id: str, keys: Sequence[str]) -> Findings:
    """Nobody has anything without an account, other than what goes by itself."""
    if await is_being_deleted(user_id=user_id):
        return Findings()
    left = await lasting(keys)
    if not left or await has_account(user_id) or await is_being_deleted(user_id=user_id):
        return Findings()
    findings = Findings()
    sentence = f"{user_id or 'Nobody'} has {left[0]!r} and {len(left) - 1} other keys, and no account."
    findings.found(sentence, is_mended=False)
    return findings
