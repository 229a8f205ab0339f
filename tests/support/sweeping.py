"""The sweep as it will be: the services' clocks are put forward, and only the test's people are noted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from django.conf import settings

from media_store.managers import DOOMED, NOTES
from media_store.models import Blob, Image
from media_store.services import blobs, images, sweep
from media_store.storage import get_storage
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.keys import owner_key
from tests.support.consistency import inconsistencies


@asynccontextmanager
async def nobody_else_noted() -> AsyncIterator[None]:
    others = dict(await get_client().zrange(NOTES.key, 0, -1, withscores=True))
    await get_client().delete(NOTES.key)
    yield
    if others:
        await get_client().zadd(NOTES.key, others)


def later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Have the sweep believe that it is later."""
    for module in (blobs, images, sweep):
        monkeypatch.setattr(module, "now", lambda: now() + by)


async def sweep_for_days() -> None:
    """What a server does in the time to come: what is planned is given up, what is doomed goes, and again."""
    for hours in (2, 4, 30, 32):
        with pytest.MonkeyPatch.context() as patch:
            later(patch, timedelta(hours=hours))
            patch.setattr(settings, "SWEEP_UNUSED_IMAGES", False)
            await sweep.sweep_due()
    async for user_id in NOTES.owners():
        await NOTES.note(user_id, now())
    await sweep.sweep_due()  # the notes that it makes are of this time again


async def assert_exact(user_id: str) -> None:
    """No record without its object, no object without a record, and nothing that is still to go."""
    faults = await inconsistencies([user_id])
    assert faults == [], faults
    stored = {key.split("/")[1] async for key in get_storage().list(user_id)}
    image_ids = await Image.objects.ids(user_id, "images", first=0, limit=10_000)
    found = await Image.objects.aget_many(user_id, image_ids)
    assert stored == {image.blob_id for image in found.objects}
    for index in (DOOMED, str(Blob.holders.zero_index)):
        assert await get_client().zrange(owner_key(user_id, index), 0, -1) == [], index
