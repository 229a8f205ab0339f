"""Bounded pools of threads."""

import asyncio
import threading

import pytest

from nanobanana.errors import ServiceUnavailable
from nanobanana.pools import BoundedPool, Line, Places


async def test_it_runs_off_the_event_loop_and_gives_the_result() -> None:
    pool = BoundedPool("test", threads=1, waiting=0)
    assert await pool.run(lambda left, right: left + right, 2, 3) == 5
    assert await pool.run(threading.get_ident) != threading.get_ident()


async def test_what_goes_wrong_is_raised_and_leaves_room() -> None:
    pool = BoundedPool("test", threads=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)


async def test_who_finds_the_line_full_is_told_to_come_back() -> None:
    pool = BoundedPool("test", threads=1, waiting=2)
    release = threading.Event()
    running = [asyncio.ensure_future(pool.run(release.wait, 10)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable) as refused:
        await pool.run(release.wait)
    assert refused.value.retry_after
    release.set()
    assert await asyncio.gather(*running) == [True] * 3
    assert await pool.run(lambda: "again") == "again"


async def test_no_more_run_at_once_than_there_are_threads() -> None:
    pool = BoundedPool("test", threads=2, waiting=20)
    lock, running, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1

    await asyncio.gather(*[pool.run(work) for _ in range(12)])
    assert most == 2


async def test_places_are_taken_by_turns_and_shared_out() -> None:
    places = Places(3, of_one=2)
    with places.one("alice"), places.one("alice"):
        with pytest.raises(ServiceUnavailable), places.one("alice"):
            pass
        with places.one("bob"), pytest.raises(ServiceUnavailable), places.one("carol"):
            pass
        assert places.taken == 2
    with pytest.raises(KeyError), places.one("alice"):
        raise KeyError
    assert places.taken == 0


async def test_a_line_has_so_many_at_once_and_refuses_who_finds_it_full() -> None:
    line, running, most = Line(2, waiting=2), 0, 0

    async def work() -> None:
        nonlocal running, most
        async with line.turn():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    working = [asyncio.ensure_future(work()) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await work()
    await asyncio.gather(*working)
    assert most == 2
    await work()
