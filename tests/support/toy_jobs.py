"""`python -m tests.support.toy_jobs`: a worker with these jobs, which notices quickly that others died."""

import asyncio
import os
from collections.abc import Callable
from typing import BinaryIO

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
django.setup()

from media_store import decoding  # noqa: E402
from media_store.pictures import PreparedPicture  # noqa: E402
from media_store.services.processing import prepare_picture  # noqa: E402
from nanobanana import job_broker, job_queue, job_worker  # noqa: E402
from nanobanana.jobs import job  # noqa: E402
from nanobanana.redisdb.client import get_client  # noqa: E402

STARTS, EFFECTS = "toy:starts", "toy:effects"


@job("toy slow")
async def slow(*, name: str) -> None:
    """Say which process does it, and in the end that it is done; hang while there is `toy:hang`."""
    await wait_while_told()
    await get_client().rpush(EFFECTS, name)


def be_quick(set_attribute: Callable[[object, str, float], None]) -> None:
    """Notice soon who died."""
    set_attribute(job_queue, "DEAD_AFTER", 1.0)
    set_attribute(job_broker, "HEARTBEAT_EVERY", 0.2)
    set_attribute(job_worker, "TICK", 0.2)
    set_attribute(job_worker, "LONGEST_SLEEP", 50)


async def look_slowly(file: BinaryIO) -> PreparedPicture:
    await wait_while_told()
    return await look(file)


async def wait_while_told() -> None:
    await get_client().rpush(STARTS, os.getpid())
    while await get_client().exists("toy:hang"):  # noqa: ASYNC110  # the test is another process
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    be_quick(setattr)
    look, decoding.look = decoding.look, look_slowly
    job_worker.JOBS = (slow, prepare_picture)
    job_worker.run()
