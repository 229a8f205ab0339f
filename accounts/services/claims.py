"""Whether accounts and addresses agree: the one fact that is spread over two places of the database.

The user is stored between the claim of an address and its confirmation, and removed before it is freed. So
each of these looks twice, and takes for wrong only what was so from the first look to the last.
"""

from collections.abc import AsyncIterator

from redis.exceptions import ResponseError

from accounts.managers import PENDING
from accounts.models import User
from accounts.services.access import UnreadableAccount, find_account, has_account
from nanobanana.redisdb.checking import Findings


async def is_being_deleted(*, user_id: str) -> bool:
    return user_id in await User.objects.deletions()


async def check_address(*, findings: Findings, user: User, repair: bool) -> None:
    """The user's address is the user's."""
    try:
        await _check_address(findings, user, repair)
    except ResponseError as error:
        sentence = f"Whose the address {user.email} of {user.id} is cannot be read: {error}"
        findings.found(sentence, is_mended=False)


async def _check_address(findings: Findings, user: User, repair: bool) -> None:
    if await User.objects.holder(user.email) == user.id or not await User.objects.is_kept(user.id):
        return
    holder = await User.objects.holder(user.email)
    if holder == user.id or not await _has_address(user.id, user.email):
        return
    is_free = not holder or not await _has_address(holder.removeprefix(PENDING), user.email)
    whose = f"that of {holder}" if holder else "nobody's"
    is_mended = is_free and repair and await User.objects.give_email(user.email, holder, user.id)
    findings.found(f"The address {user.email} of {user.id} is {whose}.", is_mended=is_mended)


async def give_address(*, user_id: str) -> None:
    """Have the address of a user who was put back be the user's, unless it is another's."""
    user = await readable_account(user_id)
    if user:
        await check_address(findings=Findings(), user=user, repair=True)


async def leave_address(*, user_id: str, unless: str) -> None:
    """Free the address that a user who is about to be put back has now, unless it will be the same."""
    user = await readable_account(user_id)
    if user and user.email != unless:
        await User.objects.release_email(user.email, user_id)


async def addresses() -> AsyncIterator[tuple[str, str]]:
    """(address, user id) of all addresses that are somebody's, in no order."""
    async for address, holder in User.objects.iterate_emails():
        if not holder.startswith(PENDING):
            yield address, holder


async def check_holder(*, findings: Findings, address: str, user_id: str, repair: bool) -> None:
    """Who holds an address has it."""
    if await _has_address(user_id, address) or await is_being_deleted(user_id=user_id):
        return
    if await User.objects.holder(address) != user_id or await _has_address(user_id, address):
        return
    if repair:
        await User.objects.release_email(address, user_id)
    sentence = f"The address {address} is that of {user_id}, who does not have it."
    findings.found(sentence, is_mended=repair)


async def _has_address(user_id: str, address: str) -> bool:
    """Whether it is the address of the account; of one that cannot be read, it may be."""
    user = await readable_account(user_id)
    return user.email == address if user else await has_account(user_id)


async def readable_account(user_id: str) -> User | None:
    """The account, if there is one that can be read."""
    try:
        return await find_account(user_id)
    except UnreadableAccount:
        return None
