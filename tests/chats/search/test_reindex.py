"""manage.py reindex"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from chats.management.commands import reindex as command
from chats.management.commands.reindex import everybody
from chats.models import Message, Session
from chats.search.indexing import MESSAGE_POSTINGS, TITLE_POSTINGS
from chats.services.reindexing import index_faults, reindex, remove_index, size_of
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.unit_of_work import UnitOfWork
from tests.chats.search.conftest import Find
from tests.support.consistency import inconsistencies
from tests.support.people import Person


async def run(*arguments: str) -> str:
    """What the command prints."""
    output = io.StringIO()
    await asyncio.to_thread(call_command, "reindex", *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
async def filled(alice: Person, session: dict[str, Any]) -> dict[str, Any]:
    trashed = await alice.make_session("red trash")
    await alice.make_message(trashed["id"], "red in the trash")
    await alice.delete(f"/api/sessions/{trashed['id']}")
    await alice.make_message(session["id"], "red 猫", params={"model": "flux"})
    return await alice.make_message(session["id"], "red dog")


async def spoil(user: User, message_id: str) -> None:
    """An entry too many, one missing, a term that is not listed and one that nothing has."""
    redis = get_client()
    await redis.zadd(MESSAGE_POSTINGS.key(user.id, "dog"), {"0" * 26: 0})
    await redis.zrem(MESSAGE_POSTINGS.key(user.id, "red"), message_id)
    await redis.zrem(TITLE_POSTINGS.terms_key(user.id), "trash")
    await redis.zadd(MESSAGE_POSTINGS.terms_key(user.id), {"nothing": 0})


async def test_the_check_finds_every_fault(user: User, filled: dict[str, Any]) -> None:
    assert await index_faults(user_id=user.id) == []
    await spoil(user, filled["id"])
    faults = "\n".join(await index_faults(user_id=user.id))
    for term in ("term:red does not list", "term:dog is not", "title:trash is not", "term:nothing is not"):
        assert term in faults
    assert await inconsistencies([user.id]) != []


async def test_it_is_made_anew(alice: Person, user: User, filled: dict[str, Any], find: Find) -> None:
    await spoil(user, filled["id"])
    await get_client().zadd(TITLE_POSTINGS.terms_key(user.id), {"trash": 0})
    steps: list[int] = []
    indexed = await reindex(user_id=user.id, advance=steps.append)
    assert (indexed.sessions, indexed.messages) == (2, 3)
    assert sum(steps) == await size_of(user.id) == 5
    assert await inconsistencies([alice.id]) == []
    assert await find("red", type="message") == ["red dog", "red 猫"]


async def test_it_is_right_while_others_write(alice: Person, user: User, session: dict[str, Any]) -> None:
    ids = [(await alice.make_message(session["id"], f"start {number}"))["id"] for number in range(15)]

    async def write() -> None:
        for number, message_id in enumerate(ids):
            await alice.put(f"/api/messages/{message_id}", {"text": f"start end {number}"})
            await alice.make_message(session["id"], f"new {number}")
            await alice.put(f"/api/sessions/{session['id']}", {"title": f"title {number}"})
        await alice.delete(f"/api/messages/{ids[3]}")

    async def reindex_again_and_again() -> None:
        for _ in range(12):
            await reindex(user_id=user.id)

    await asyncio.gather(write(), reindex_again_and_again())
    assert await inconsistencies([alice.id]) == []


async def test_an_index_that_is_gone_is_written_whole(user: User, filled: dict[str, Any], find: Find) -> None:
    await remove_index(user_id=user.id)
    assert await find("red") == []
    assert len(await index_faults(user_id=user.id)) > 5
    await reindex(user_id=user.id)
    assert await index_faults(user_id=user.id) == []
    assert len(await find("red")) == 3


async def test_the_command_says_what_it_did(alice: Person, user: User, filled: dict[str, Any]) -> None:
    assert await run("--user", alice.email) == "Indexed 3 messages and 2 sessions of 1 user.\n"
    assert await run("--user", alice.id, "--check") == "The index of 1 user agrees with the data.\n"
    assert json.loads(await run("--user", alice.id, "--json")) == {"users": 1, "sessions": 2, "messages": 3}
    await spoil(user, filled["id"])
    with pytest.raises(CommandError, match=r"The index has 5 faults\."):
        await run("--check", "--user", alice.id)
    with pytest.raises(CommandError, match=r"^The index has 5 faults\.$"):
        await run("--check", "--user", alice.id, "--json")


async def test_the_command_goes_over_everybody(
    alice: Person, mallory: Person, filled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def the_two() -> AsyncIterator[User]:  # of hundreds that other tests left
        async for user in everybody():
            if user.id in {alice.id, mallory.id}:
                yield user

    monkeypatch.setattr(command, "everybody", the_two)
    for person in (alice, mallory):
        await remove_index(user_id=person.id)
    assert json.loads(await run("--json"))["users"] == 2
    assert await inconsistencies([alice.id, mallory.id]) == []


@pytest.mark.parametrize("name", ["nobody@example.com", "nonsense", "0" * 26, ""])
async def test_the_command_knows_whom_it_does_not_know(name: str) -> None:
    with pytest.raises(CommandError, match=f"There is no user {name}"):
        await run("--user", name)


async def test_handles_of_what_is_indexed_must_say_what_is_stored(user: User) -> None:
    for manager, handle, change in (
        (Message.objects, Message(user.id, user.id), {"text": "x"}),
        (Session.objects, Session(user.id, user.id), {"title": "x"}),
    ):
        with pytest.raises(AttributeError, match="not loaded"):
            manager.update(UnitOfWork(user.id), handle, **change)
