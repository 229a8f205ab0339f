"""A process that dies in the middle of its work: what it committed stays, and nobody tidies up behind it."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from nanobanana.redisdb.unit_of_work import UnitOfWork


class Died(BaseException):
    """No `except Exception` sees it, as nothing would see the end of a process."""


@contextmanager
def dying_after(commits: int) -> Iterator[list[int]]:
    """The next commit after so many is the end; yields a list that is empty if it did not come to that."""
    commit, deaths = UnitOfWork.commit, []
    done = 0

    async def count(work: UnitOfWork) -> None:
        nonlocal done
        if done == commits:
            deaths.append(done)
            raise Died
        await commit(work)
        done += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UnitOfWork, "commit", count)
        try:
            yield deaths
        except Died:
            pass


@contextmanager
def dying_at(step: int, *effects: tuple[type, str]) -> Iterator[list[int]]:
    """The end comes just before the step-th half of an effect: 0 is before the first one, 1 after it.

    Effects are coroutine functions of classes. Yields a list that is empty if it did not come to that.
    """
    halves, deaths = count(), []

    def live() -> None:
        if deaths or next(halves) == step:
            deaths.append(step)
            raise Died

    def mortal(effect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def act(*arguments: Any, **named: Any) -> Any:
            live()
            result = await effect(*arguments, **named)
            live()
            return result

        return act

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in effects:
            patch.setattr(owner, name, mortal(getattr(owner, name)))
        try:
            yield deaths
        except Died:
            pass
