"""The title a session takes from its first message."""

import asyncio
from typing import Any

from chats.models import TITLE_BY_DEFAULT, TITLE_FROM_TEXT, Session
from tests.support.people import Person


async def title_of(person: Person, session: dict[str, Any]) -> str:
    return (await person.phone.get(f"/api/sessions/{session['id']}")).json()["session"]["title"]


async def test_it_comes_from_the_first_text_of_a_user(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen(session["id"])
    await alice.make_message(session["id"], "  Paint me\na cat  ")
    stored = await Session.objects.aget(alice.id, session["id"])
    assert (stored.title, stored.title_origin) == ("Paint me a cat", TITLE_FROM_TEXT)
    created, updated = [await alice.phone.next_frame() for _ in range(2)]
    assert (created["type"], updated["type"]) == ("message_created", "session_updated")
    assert updated["payload"]["session"]["title"] == "Paint me a cat"


async def test_a_long_text_gives_a_short_title(alice: Person, session: dict[str, Any]) -> None:
    await alice.make_message(
        session["id"], "Please paint me a cat that sits on a very long bench in the sunshine"
    )
    assert await title_of(alice, session) == "Please paint me a cat that sits on a very long…"


async def test_later_messages_do_not_change_it(alice: Person, session: dict[str, Any]) -> None:
    first = await alice.make_message(session["id"], "first")
    await alice.make_message(session["id"], "second")
    await alice.put(f"/api/messages/{first['id']}", {"text": "changed"})
    await alice.delete(f"/api/messages/{first['id']}")
    await alice.make_message(session["id"], "third")
    assert await title_of(alice, session) == "first"


async def test_nobody_else_and_no_image_gives_a_title(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], "I am a model", role="assistant")
    await alice.make_message(session["id"], "You are a model", role="system")
    await alice.make_message(session["id"], "", imageIds=[image["id"]])
    await alice.make_message(session["id"], " \n ")
    stored = await Session.objects.aget(alice.id, session["id"])
    assert (stored.title, stored.title_origin) == ("New Chat", TITLE_BY_DEFAULT)
    await alice.make_message(session["id"], "Paint me a cat")
    assert await title_of(alice, session) == "Paint me a cat"


async def test_it_never_replaces_a_title_a_person_chose(alice: Person, session: dict[str, Any]) -> None:
    chosen = await alice.make_session("Mine")
    await alice.make_message(chosen["id"], "Paint me a cat")
    assert await title_of(alice, chosen) == "Mine"
    await alice.put(f"/api/sessions/{session['id']}", {"title": "Mine too"})
    await alice.make_message(session["id"], "Paint me a cat")
    assert await title_of(alice, session) == "Mine too"


async def test_of_two_first_messages_at_once_one_gives_it(alice: Person) -> None:
    for _ in range(10):
        session = await alice.make_session()
        await asyncio.gather(
            *(
                device.post(f"/api/sessions/{session['id']}/messages", {"role": "user", "text": text})
                for device, text in ((alice.laptop, "from the laptop"), (alice.phone, "from the phone"))
            )
        )
        stored = await Session.objects.aget(alice.id, session["id"])
        first = (await alice.get(f"/api/sessions/{session['id']}/messages")).json()["messages"]
        assert stored.title in {message["text"] for message in first}
        assert (stored.message_count, len(first)) == (2, 2)


async def test_a_rename_at_the_same_time_wins(alice: Person) -> None:
    for _ in range(10):
        session = await alice.make_session()
        await asyncio.gather(
            alice.make_message(session["id"], "automatic"),
            alice.phone.put(f"/api/sessions/{session['id']}", {"title": "chosen"}),
        )
        assert await title_of(alice, session) == "chosen"
