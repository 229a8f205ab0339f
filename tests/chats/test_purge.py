"""The purge: chats/services/purge.py, and `manage.py purge`."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from chats.managers import NOTES
from chats.models import TRASHED, HiddenSession, TrashedSession
from chats.services import purge
from chats.services.drafts import DRAFT_LIFE, begin_draft
from chats.services.purge import purge_due
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.media_store.uploads import stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person

MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def _nobody_else_has_trash(alice: Person) -> AsyncIterator[None]:
    others = dict(await get_client().zrange(NOTES.key, 0, -1, withscores=True))
    await get_client().delete(NOTES.key)
    yield
    if others:
        await get_client().zadd(NOTES.key, others)


async def throw_away(person: Person, title: str = "Cats", *, ago: timedelta = timedelta()) -> str:
    """The id of a session with a message and a picture, which came to the trash so long ago."""
    session = await person.make_session(title)
    image = await person.make_image(session["id"])
    await person.make_message(session["id"], imageIds=[image["id"]])
    await person.delete(f"/api/sessions/{session['id']}")
    await let_time_pass(person, session["id"], ago)
    return session["id"]


async def let_time_pass(person: Person, session_id: str, passed: timedelta) -> None:
    """As if the session had come to the trash, and its note been made, so much earlier."""
    trashed = await TrashedSession.objects.aget(person.id, session_id)
    assert trashed.deleted_at
    async with unit_of_work(person.id) as work:
        TrashedSession.objects.update(work, trashed, deleted_at=trashed.deleted_at - passed)
    await get_client().zincrby(NOTES.key, -passed // timedelta(milliseconds=1), person.id)


async def titles_in_trash(person: Person) -> list[str]:
    return [found["title"] for found in (await person.get("/api/sessions/trash")).json()["sessions"]]


async def note_of(person: Person) -> float | None:
    return await get_client().zscore(NOTES.key, person.id)


def earlier(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Have the purge believe that it is later."""
    monkeypatch.setattr(purge, "now", lambda: now() + by)


async def run(*arguments: str) -> str:
    output = io.StringIO()
    await asyncio.to_thread(call_command, "purge", *arguments, stdout=output)
    return output.getvalue().strip()


async def test_what_was_long_in_the_trash_is_gone_for_good(alice: Person) -> None:
    await throw_away(alice, "Old", ago=MONTH)
    await throw_away(alice, "New", ago=MONTH - HOUR)
    await alice.phone.listen((await alice.make_session())["id"])
    await purge_due()
    assert await titles_in_trash(alice) == ["New"]
    assert len(await stored_keys(alice.id)) == 2
    assert (await alice.get("/api/images/user/all")).json()["pagination"]["total"] == 1
    assert await inconsistencies([alice.id]) == []
    assert await alice.phone.heard() == [], "it was in nobody's list any more"


async def test_the_note_says_when_there_is_more(alice: Person) -> None:
    await throw_away(alice, "Old", ago=MONTH)
    await throw_away(alice, "New", ago=HOUR)
    await purge_due()
    entry = await TrashedSession.objects.earliest(alice.id, TRASHED.name)
    assert entry
    assert await note_of(alice) == milliseconds(entry + MONTH)


async def test_a_note_without_trash_goes_when_nothing_was_found_twice(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await throw_away(alice, ago=MONTH)
    await purge_due()
    found_nothing = await note_of(alice)
    assert found_nothing
    assert found_nothing % 1 == 0.5
    await purge_due()
    assert await note_of(alice) == found_nothing, "it is not due yet"
    earlier(monkeypatch, 2 * HOUR)
    await purge_due()
    assert await note_of(alice) is None


async def test_a_note_made_while_nothing_was_found_stays(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of a deletion under way is not taken away by a purge that does not see it yet."""
    await throw_away(alice, ago=MONTH)
    await purge_due()
    await NOTES.note(alice.id, now() + MONTH)  # but the session is not there yet
    earlier(monkeypatch, 2 * HOUR)
    await purge_due()
    assert await note_of(alice) is not None
    await throw_away(alice)
    earlier(monkeypatch, MONTH + 4 * HOUR)
    await purge_due()
    assert await titles_in_trash(alice) == []


async def test_a_note_made_during_the_purge_is_not_overwritten(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await throw_away(alice, ago=MONTH)
    next_due = purge._next_due

    async def be_overtaken(user_id: str) -> Any:
        due = await next_due(user_id)
        await throw_away(alice, "Meanwhile")
        return due

    monkeypatch.setattr(purge, "_next_due", be_overtaken)
    before = await note_of(alice)
    await purge_due()
    monkeypatch.setattr(purge, "_next_due", next_due)
    after = await note_of(alice)
    assert before
    assert after
    assert int(after) == int(before), "it is looked at again soon"
    earlier(monkeypatch, MONTH + HOUR)
    await purge_due()
    assert await titles_in_trash(alice) == []


async def test_one_who_cannot_be_purged_does_not_stop_the_others(
    alice: Person, mallory: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await throw_away(alice, ago=MONTH + HOUR)
    await throw_away(mallory, ago=MONTH)
    remove = purge.remove_hidden

    async def fail(session: HiddenSession) -> bool:
        if session.owner_id == alice.id:
            raise ConnectionError
        return await remove(session)

    monkeypatch.setattr(purge, "remove_hidden", fail)
    await purge_due()
    assert await stored_keys(mallory.id) == []
    assert len(await stored_keys(alice.id)) == 2
    monkeypatch.setattr(purge, "remove_hidden", remove)
    await purge_due()
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id, mallory.id]) == []


async def test_one_that_is_restored_meanwhile_stays(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = await throw_away(alice, ago=MONTH)
    hide = purge._hidden

    async def be_overtaken(session: Any) -> Any:
        await alice.post(f"/api/sessions/{session_id}/restore")
        return await hide(session)

    monkeypatch.setattr(purge, "_hidden", be_overtaken)
    await purge_due()
    assert (await alice.get(f"/api/sessions/{session_id}/messages")).json()["pagination"]["total"] == 1
    assert await inconsistencies([alice.id]) == []


async def test_a_draft_left_behind_is_removed(
    alice: Person, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin_draft(user=user, title="Cats", title_origin="person", created_at=now(), updated_at=now())
    await purge_due()
    assert await get_client().zcard(f"nb:{{u:{alice.id}}}:hidden") == 1
    earlier(monkeypatch, DRAFT_LIFE + HOUR)
    await purge_due()
    assert await get_client().zcard(f"nb:{{u:{alice.id}}}:hidden") == 0
    assert await inconsistencies([alice.id]) == []


async def test_two_processes_at_once_leave_nothing(alice: Person) -> None:
    for title in "abc":
        await throw_away(alice, title, ago=MONTH)
    await asyncio.gather(purge_due(), purge_due())
    await purge_due()
    assert await titles_in_trash(alice) == []
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


# ---- the command
async def test_the_command_purges_everybody(alice: Person, mallory: Person) -> None:
    for person in (alice, mallory):
        await throw_away(person, "Old", ago=MONTH)
        await throw_away(person, "New")
    assert await run() == "2 sessions with 2 messages of 2 users are removed for good."
    for person in (alice, mallory):
        assert await titles_in_trash(person) == ["New"]
    assert await inconsistencies([alice.id, mallory.id]) == []


@pytest.mark.parametrize("name", [lambda person: person.id, lambda person: person.email.upper()])
async def test_the_command_purges_one_user(
    alice: Person, mallory: Person, name: Callable[[Person], str]
) -> None:
    for person in (alice, mallory):
        await throw_away(person)
    answer = json.loads(await run("--user", name(alice), "--days", "0", "--json"))
    assert answer == {"users": 1, "sessions": 1, "messages": 1, "dryRun": False}
    assert await titles_in_trash(alice) == []
    assert await titles_in_trash(mallory) == ["Cats"]


async def test_a_dry_run_removes_nothing(alice: Person) -> None:
    await throw_away(alice)
    assert json.loads(await run("--days", "0", "--dry-run", "--json"))["sessions"] == 1
    assert await run("--dry-run") == "0 sessions with 0 messages of 0 users would be removed for good."
    assert await titles_in_trash(alice) == ["Cats"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--user", "nobody@example.com"), "no user nobody@example.com"),
        (("--user", "0" * 26), "no user 0"),
        (("--user", ""), "no user"),
        (("--days", "-1"), "whole number"),
        (("--days", "x"), "invalid int value"),
    ],
)
async def test_nonsense_is_refused(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        await run(*arguments)
