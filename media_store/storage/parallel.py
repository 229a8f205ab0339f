"""Doing something with each of many, some at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def for_each(things: AsyncIterator[T], act: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Call `act` with each thing. The first exception ends all, and is raised as it is."""
    turn = asyncio.Lock()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(_act_while_there_are(things, turn, act))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _act_while_there_are(
    things: AsyncIterator[T], turn: asyncio.Lock, act: Callable[[T], Awaitable[None]]
) -> None:
    while (thing := await _next(things, turn)) is not None:
        await act(thing)


async def _next(things: AsyncIterator[T], turn: asyncio.Lock) -> T | None:
    async with turn:  # one iterator cannot be asked twice at once
        return await anext(things, None)
