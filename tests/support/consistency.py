"""Whether what is stored agrees with itself, as `manage.py check_data` sees it, and files with their records.

python -m tests.support.consistency    # of the Redis and the storage that the environment names
"""

import asyncio
import os
import sys
from collections.abc import Collection

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
django.setup()

from media_store.models import READY, Blob, Image  # noqa: E402
from media_store.services.blobs import storage_key  # noqa: E402
from media_store.storage import ObjectNotFound, get_storage  # noqa: E402
from media_store.variants import ORIGINAL, THUMB  # noqa: E402
from nanobanana.data_check import check_everything, check_users  # noqa: E402
from nanobanana.redisdb.checking import Findings  # noqa: E402


async def inconsistencies(user_ids: Collection[str] | None = None) -> list[str]:
    """A sentence for each fault found, [] when all is well; of these users, or of everybody."""
    findings = Findings()
    if user_ids is None:
        async for found in check_everything():
            findings.add(found)
    else:
        findings = await check_users(list(user_ids))
    assert findings.unsettled == []
    return findings.faults + await missing_files(user_ids) + await files_of_nobody(user_ids)


async def missing_files(user_ids: Collection[str] | None) -> list[str]:
    faults = []
    async for image in Image.objects.aiterate():
        if user_ids is not None and image.owner_id not in user_ids:
            continue
        for variant, size in ((ORIGINAL, image.size), (THUMB, image.thumb_size)):
            found = await size_of_file(storage_key(image, variant))
            if found != size and not (variant == THUMB and image.status != READY):
                faults.append(f"{image!r} has {found} bytes of its {variant} instead of {size}.")
    return faults


async def files_of_nobody(user_ids: Collection[str] | None) -> list[str]:
    """Every file is of a blob there is, or that is about to go."""
    faults = []
    for prefix in user_ids or [""]:
        async for key in get_storage().list(prefix):
            user_id, blob_id, _ = key.split("/")
            is_known = await Blob.objects.aget_many(user_id, [blob_id])
            if not is_known.objects and not await Blob.objects.doomed_among(user_id, [blob_id]):
                faults.append(f"{key} is of no blob.")
    return faults


async def size_of_file(key: str) -> int | None:
    try:
        return await get_storage().stat(key)
    except ObjectNotFound:
        return None


if __name__ == "__main__":
    sys.exit("\n".join(asyncio.run(inconsistencies())) or None)
