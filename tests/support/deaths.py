"""A process that dies in the middle of its work: what it committed stays, and nobody tidies up behind it."""

from collections.abc import Iterator
from contextlib import contextmanager

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
