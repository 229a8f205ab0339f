"""A list costs by its page, whatever there is in all."""

from collections import Counter

import pytest

from chats.models import Message, Session
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.support.people import Person

AT_ONCE = 250
NOISE = 1024  # bytes by which the statistics' own answers differ
READINGS = 6  # of which the least counts: the server has its own regular checks


async def make_full_session(person: Person, count: int) -> str:
    session_id = (await person.make_session())["id"]
    session = Session(person.id, session_id)
    for _ in range(count // AT_ONCE):
        async with unit_of_work(person.id) as work:
            for identifier in [new_id() for _ in range(AT_ONCE)]:
                message = Message(
                    person.id,
                    identifier,
                    session_id=session_id,
                    role="user",
                    text="Hello",
                    created_at=time_of(identifier),
                )
                Message.objects.create(work, message)
            Session.objects.add(work, session, message_count=AT_ONCE)
    return session_id


async def statistics() -> tuple[Counter[str], int]:
    """How often each command ran, those of scripts too, and the bytes sent."""
    stats = await get_client().info("stats")
    commands = await get_client().info("commandstats")
    calls = {name.removeprefix("cmdstat_"): figures["calls"] for name, figures in commands.items()}
    return Counter(calls), stats["total_net_output_bytes"]


async def cost_of(person: Person, path: str, **query: str) -> tuple[Counter[str], int]:
    """The commands and bytes that a read takes."""
    readings = []
    for _ in range(READINGS):
        calls_before, bytes_before = await statistics()
        assert (await person.get(path, params=query)).status_code == 200
        calls_after, bytes_after = await statistics()
        readings.append((calls_after - calls_before, bytes_after - bytes_before))
    calls = readings[0][0]
    for others, _ in readings[1:]:
        calls &= others
    return calls, min(size for _, size in readings)


@pytest.fixture
async def sessions(alice: Person) -> tuple[str, str]:
    """A session with 250 messages and one with 5,000."""
    return await make_full_session(alice, AT_ONCE), await make_full_session(alice, 5000)


async def test_the_first_page_of_many_messages_costs_as_much_as_that_of_few(
    alice: Person, sessions: tuple[str, str]
) -> None:
    for query in ({}, {"order": "desc"}, {"limit": "100"}):
        few, many = [await cost_of(alice, f"/api/sessions/{id}/messages", **query) for id in sessions]
        assert few[0] == many[0]
        assert abs(few[1] - many[1]) < NOISE
        assert few[0]["hgetall"] >= int(query.get("limit", 50))


async def test_a_page_in_the_middle_costs_as_much_as_the_first(
    alice: Person, sessions: tuple[str, str]
) -> None:
    path = f"/api/sessions/{sessions[1]}/messages"
    middle = (await alice.get(path, params={"offset": 2500, "limit": 1})).json()
    positions: tuple[dict[str, str], ...] = (
        {"offset": "2500"},
        {"before": middle["messages"][0]["id"]},
        {"after": middle["messages"][0]["id"]},
        {"cursor": middle["pagination"]["nextCursor"]},
    )
    first, *others = [await cost_of(alice, path, **position) for position in ({}, *positions)]
    for calls, size in others:
        assert calls["hgetall"] == first[0]["hgetall"]
        assert calls["evalsha"] == first[0]["evalsha"]
        assert abs(size - first[1]) < NOISE
