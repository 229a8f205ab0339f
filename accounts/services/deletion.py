"""Deleting an account: marked first, then removed in steps that can be repeated."""

from django.dispatch import Signal

from accounts.models import Password, User
from accounts.services.access import Visitor
from accounts.services.devices import sign_out_everywhere
from accounts.services.profile import confirm_password
from nanobanana.jobs import job
from nanobanana.redisdb.unit_of_work import unit_of_work

# Sent with `user_id` when an account goes; the apps above remove what they keep of it. A receiver can be
# called again for the same account, after a crash.
account_deleted = Signal()


async def delete_account(*, visitor: Visitor, password: str, ip: str) -> None:
    """Delete the account and all it owns. It is gone for everyone at once; the rest follows in steps."""
    user = visitor.user
    await confirm_password(visitor=visitor, password=password, ip=ip)
    await _begin(user)
    await finish_deletion.begin_here(user_id=user.id)


async def remove_account(*, user: User) -> None:
    """The same without a password, and to its end, for operators."""
    await _begin(user)
    await finish_deletion(user_id=user.id)


@job("finish deletion", time_limit=3600)
async def finish_deletion(*, user_id: str) -> None:
    """Do, or take up again, what deletes an account that is noted as such; each step can be repeated."""
    email = await User.objects.deletion_of(user_id)
    if email is None:
        return
    await _make_vanish(user_id, email)
    await account_deleted.asend(sender=User, user_id=user_id)
    await User.objects.end_deletion(user_id)


@job("finish deletions", every=60)
async def finish_deletions() -> None:
    """Take up the deletions that were left behind, each for itself."""
    for user_id in await User.objects.deletions():
        await finish_deletion.enqueue(user_id=user_id)


async def _begin(user: User) -> None:
    await User.objects.begin_deletion(user)
    await _make_vanish(user.id, user.email)


async def _make_vanish(user_id: str, email: str) -> None:
    async with unit_of_work(user_id) as work:
        work.write("delete", User(user_id, user_id).key)
        work.write("delete", Password(user_id, user_id).key)
    await sign_out_everywhere(user_id=user_id)
    await User.objects.release_email(email, user_id)
