"""Deleting an account: marked first, then removed in steps that can be repeated."""

import logging

from django.dispatch import Signal

from accounts.models import Password, User
from accounts.services.access import Visitor
from accounts.services.devices import sign_out_everywhere
from accounts.services.profile import confirm_password
from nanobanana.jobs import job
from nanobanana.redisdb.unit_of_work import unit_of_work

logger = logging.getLogger(__name__)

# Sent with `user_id` when an account goes; the apps above remove what they keep of it. A receiver can be
# called again for the same account, after a crash.
account_deleted = Signal()


async def delete_account(*, visitor: Visitor, password: str, ip: str) -> None:
    """Delete the account and all it owns. It is gone for everyone at once; the rest follows in steps."""
    await confirm_password(visitor=visitor, password=password, ip=ip)
    await remove_account(user=visitor.user)


async def remove_account(*, user: User) -> None:
    """The same without a password, for operators."""
    await User.objects.begin_deletion(user)
    await finish_deletion(user.id, user.email)


async def finish_deletion(user_id: str, email: str) -> None:
    """Do, or take up again, what deletes an account; each step can be repeated."""
    async with unit_of_work(user_id) as work:
        work.write("delete", User(user_id, user_id).key)
        work.write("delete", Password(user_id, user_id).key)
    await sign_out_everywhere(user_id=user_id)
    await User.objects.release_email(email, user_id)
    await account_deleted.asend(sender=User, user_id=user_id)
    await User.objects.end_deletion(user_id)


@job("finish deletions", every=60)
async def finish_deletions() -> None:
    """Take up the deletions that were left behind; one that fails again does not stop the others."""
    for user_id, email in (await User.objects.deletions()).items():
        try:
            await finish_deletion(user_id, email)
        except Exception:
            logger.exception("The deletion of %s is not finished", user_id)
