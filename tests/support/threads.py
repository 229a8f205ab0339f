"""What blocks, without holding up the event loop of the tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any


@asynccontextmanager
async def in_a_thread(manager: AbstractContextManager[Any]) -> AsyncIterator[Any]:
    """Enter and leave what blocks, while the event loop goes on: a proxy may run in it."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)
