"""What the copy and the end of a large session cost: `python -m bench.purge`. README.md explains the rows."""

import argparse
import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.server import settings

MESSAGES = 100_000
TEXT = "a prompt of about two hundred characters, as people write them to a model of pictures: " * 2
TICK = 0.005  # seconds


async def main(count: int) -> None:
    from accounts.models import User
    from chats.models import HiddenSession
    from chats.services import trash
    from chats.services.copies import duplicate_session
    from chats.services.removal import remove_hidden
    from nanobanana.redisdb.ids import new_id
    from nanobanana.redisdb.unit_of_work import unit_of_work

    identifier = new_id()
    user = User(identifier, identifier, email="bench@example.com", username="Bench")
    async with unit_of_work(user.id) as work:
        User.objects.create(work, user)
    session = await measured(f"write {count:,} messages", fill(user, count))
    copy = await measured("duplicate the session", duplicate_session(user=user, session_id=session.id))
    await measured("delete the copy: to the trash", trash.delete_session(user=user, session_id=copy.id))
    await measured("restore it", trash.restore_session(user=user, session_id=copy.id))
    hidden = await trash._hide(user, copy.id)
    await measured("remove the copy", remove_hidden(hidden))
    await measured("delete for good: the answer", trash.delete_for_good(user=user, session_id=session.id))
    left = await HiddenSession.objects.find(user.id, session.id)
    if left:
        await measured("what is removed behind it", remove_hidden(left))


async def fill(user: Any, count: int) -> Any:
    from chats.models import Message
    from chats.services.drafts import DRAFT_STEP, add_to_draft, begin_draft, publish_draft
    from nanobanana.redisdb.fields import now
    from nanobanana.redisdb.ids import new_id, time_of

    draft = await begin_draft(
        user=user, title="Large", title_origin="person", created_at=now(), updated_at=now()
    )
    for first in range(0, count, DRAFT_STEP):
        ids = [new_id() for _ in range(min(DRAFT_STEP, count - first))]
        messages = [
            Message(
                user.id,
                identifier,
                session_id=draft.id,
                role="user",
                text=f"{first} {TEXT}",
                created_at=time_of(identifier),
                updated_at=time_of(identifier),
            )
            for identifier in ids
        ]
        await add_to_draft(user=user, draft=draft, messages=messages)
    return await publish_draft(user=user, draft=draft)


async def measured(name: str, work: Awaitable[Any]) -> Any:
    from nanobanana.redisdb.client import get_client

    await get_client().slowlog_reset()
    before, memory = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with longest_stall() as stall:
        result = await work
    seconds = time.perf_counter() - before
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    scripts = [entry["duration"] / 1000 for entry in await get_client().slowlog_get(1000)]
    print(
        f"{name:32} {seconds:8.2f} s   longest script {max(scripts, default=0):6.1f} ms"
        f"   event loop held {1000 * stall[0]:6.1f} ms   memory +{grown:.0f} MB"
    )
    return result


@asynccontextmanager
async def longest_stall() -> AsyncIterator[list[float]]:
    """How long the event loop was busy with one thing at most, in seconds."""
    stall = [0.0]

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            stall[0] = max(stall[0], time.perf_counter() - before - TICK)

    task = asyncio.create_task(tick())
    yield stall
    task.cancel()


def run(count: int) -> None:
    with TemporaryDirectory(prefix="nanobanana-bench-") as directory:
        os.environ.update(settings(directory, 3001), DJANGO_SETTINGS_MODULE="nanobanana.settings")
        import django

        django.setup()
        from nanobanana.redisdb import embedded

        with embedded.EmbeddedServer(Path(directory, "redis")) as server:
            asyncio.run(with_slow_log(server, count))


async def with_slow_log(server: Any, count: int) -> None:
    from nanobanana.redisdb import connection
    from nanobanana.redisdb.client import get_client

    await get_client().config_set("slowlog-log-slower-than", 1000)
    await get_client().config_set("slowlog-max-len", 1000)
    try:
        await main(count)
    finally:
        await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    sys.exit(run(parser.parse_args().messages))
