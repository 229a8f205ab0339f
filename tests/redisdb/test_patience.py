"""What a request waits for Redis in all."""

import asyncio
from contextvars import Context
from time import monotonic

import pytest

from nanobanana.redisdb import patience

SECONDS = 0.5


async def answer_after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "answer"


async def ask(*, late: float) -> str:
    return await patience.bear(bounded(late), SECONDS)


async def bounded(late: float) -> str:
    async with asyncio.timeout(SECONDS):
        return await answer_after(late)


async def test_slow_calls_of_a_request_share_its_time() -> None:
    patience.begin()
    begin = monotonic()
    assert await ask(late=0.35) == "answer"
    with pytest.raises(TimeoutError, match="Redis does not answer"):
        await ask(late=0.35)
    assert 0.4 < monotonic() - begin < 0.35 + SECONDS


async def test_calls_at_the_same_time_take_it_once() -> None:
    patience.begin()
    assert await asyncio.gather(*[ask(late=0.2) for _ in range(5)]) == ["answer"] * 5
    assert await ask(late=0.2) == "answer"


async def test_quick_answers_give_it_back() -> None:
    patience.begin()
    for _ in range(3):
        assert await ask(late=0.35) == "answer"
        assert [await ask(late=0) for _ in range(3)] == ["answer"] * 3


async def test_one_quick_answer_between_two_silences_gives_back_little() -> None:
    """A Redis on a full disk is started again, reads, and ends at the first write."""
    patience.begin()
    begin = monotonic()
    assert await ask(late=0.4) == "answer"
    assert await ask(late=0) == "answer"
    with pytest.raises(TimeoutError):
        await ask(late=1)
    assert monotonic() - begin < 0.4 + SECONDS


async def test_time_without_a_call_gives_it_back() -> None:
    """The life of a socket has outages behind it."""
    patience.begin()
    with pytest.raises(TimeoutError):
        await ask(late=0.6)
    await asyncio.sleep(SECONDS)
    assert await ask(late=0.35) == "answer"


async def test_outside_of_a_request_each_call_has_its_own() -> None:
    async def ask_on_and_on() -> None:
        for _ in range(3):
            assert await ask(late=0.35) == "answer"

    await asyncio.create_task(ask_on_and_on(), context=Context())
