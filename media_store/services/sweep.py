"""The sweep: pictures that no message has shown for the grace period, and bytes that nothing holds.

It finds them by the sorted sets that commits keep, never by listing a storage; `check_media` does that.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import User
from accounts.services.access import has_account
from accounts.services.claims import is_being_deleted
from media_store.managers import NOTES
from media_store.models import Blob, Image
from media_store.services import blobs, images
from nanobanana.jobs import job
from nanobanana.redisdb.checking import Findings
from nanobanana.redisdb.fields import now

STEP = 500
MOST = 1_000_000  # of each kind that a rehearsal counts
LATER = timedelta(hours=2)  # when to look again at who has nothing; longer than what is under way may take

logger = logging.getLogger(__name__)


@dataclass
class Swept:
    """What was removed, or would be: pictures that nobody used, and bytes without a picture, in blobs."""

    pictures: int = 0
    abandoned: int = 0  # planned, and never held
    left_behind: int = 0  # doomed, and still there

    def __bool__(self) -> bool:
        return self != Swept()

    def add(self, other: "Swept") -> None:
        self.pictures += other.pictures
        self.abandoned += other.abandoned
        self.left_behind += other.left_behind


@job("sweep", every=60, time_limit=3600)
async def sweep_due() -> None:
    """Sweep what is due, of all users; one who cannot be swept now does not stop the others."""
    await NOTES.work_off(_sweep_and_look, at=now(), later=now() + LATER)


async def sweep_user(*, user_id: str) -> Swept:
    """Remove what is due of one user, or all that is left of somebody who was deleted."""
    if not await has_account(user_id):
        return await _sweep_leftovers(user_id)
    return Swept(
        pictures=await _delete_unused(user_id),
        abandoned=await _abandon_planned(user_id),
        left_behind=await blobs.remove_doomed(user_id=user_id),
    )


async def due_of(*, user_id: str) -> Swept:
    """What the sweep would remove now."""
    planned = await Blob.objects.planned_ids(user_id, before=blobs.plans_end(), limit=MOST)
    doomed = await Blob.objects.doomed(user_id, until=now(), limit=MOST)
    unused = await images.unused_ids(user_id=user_id, limit=MOST) if settings.SWEEP_UNUSED_IMAGES else []
    return Swept(
        pictures=len(unused),
        abandoned=len(planned),
        left_behind=sum(not again for _, again in doomed),
    )


async def users_to_sweep() -> AsyncIterator[str]:
    """The ids of all users who may have something to sweep, now or later."""
    async for user_id in NOTES.owners():
        yield user_id


async def check_note(*, findings: Findings, user_id: str, repair: bool) -> None:
    """Who has something to sweep is noted; what was let go of may wait until the user is looked at again."""
    await NOTES.check(findings, user_id, _next_due, repair=repair, slack=LATER)


async def _sweep_and_look(user_id: str) -> datetime | None:
    """Sweep a user; when there will be more."""
    swept = await sweep_user(user_id=user_id)
    if swept:
        logger.info("Of %s were swept: %s", user_id, swept)
    return await _next_due(user_id)


async def _next_due(user_id: str) -> datetime | None:
    doomed = await Blob.objects.earliest_doomed(user_id)
    planned = await Blob.objects.earliest(user_id, str(Blob.holders.zero_index))
    moments = (doomed, planned and planned + blobs.PLAN_LIFE, await _next_unused(user_id))
    return min(filter(None, moments), default=None)


async def _next_unused(user_id: str) -> datetime | None:
    """What is let go of from now on has its whole grace: who has pictures is looked at again after that."""
    grace = timedelta(seconds=settings.CLEANUP_GRACE)
    unused = await Image.objects.earliest(user_id, str(Image.ref_count.zero_index))
    if unused and settings.SWEEP_UNUSED_IMAGES:
        return unused + grace
    has_any = await Image.objects.acount(user_id, Image.indexes[0].name)
    return now() + max(grace, LATER) if has_any else None


async def _delete_unused(user_id: str) -> int:
    deleted = 0
    while settings.SWEEP_UNUSED_IMAGES:
        outcomes = await images.clean_up(user=User(user_id, user_id))
        done = sum(outcome.error is None for outcome in outcomes)
        deleted += done
        if not done:
            break
    return deleted


async def _abandon_planned(user_id: str) -> int:
    abandoned = 0
    while blob_ids := await Blob.objects.planned_ids(user_id, before=blobs.plans_end(), limit=STEP):
        page = await Blob.objects.aget_many(user_id, blob_ids)
        for blob in page.objects:
            await blobs.discard(blob)
        abandoned += len(page.objects)
        if not page.objects:
            break  # entries of nothing, which only a fault leaves
    return abandoned


async def _sweep_leftovers(user_id: str) -> Swept:
    """What was under way when the account was deleted has come by now."""
    if not await is_being_deleted(user_id=user_id):
        await images.remove_what_is_left(user_id=user_id)
        await User.objects.end_deletion(user_id)
    return Swept()
