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

from media_store.models import Image  # noqa: E402
from media_store.services import ORIGINAL, THUMB, storage_key  # noqa: E402
from media_store.storage import ObjectNotFound, get_storage  # noqa: E402
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
    return findings.faults + await missing_files(user_ids)


async def missing_files(user_ids: Collection[str] | None) -> list[str]:
    faults = []
    async for image in Image.objects.aiterate():
        if user_ids is not None and image.owner_id not in user_ids:
            continue
        for variant, size in ((ORIGINAL, image.size), (THUMB, image.thumb_size)):
            found = await size_of_file(storage_key(image.owner_id, image.id, variant))
            if found != size:
                faults.append(f"{image!r} has {found} bytes of its {variant} instead of {size}.")
    return faults


async def size_of_file(key: str) -> int | None:
    try:
        return await get_storage().stat(key)
    except ObjectNotFound:
        return None


if __name__ == "__main__":
    sys.exit("\n".join(asyncio.run(inconsistencies())) or None)
