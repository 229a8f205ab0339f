"""POST /api/sessions/:id/duplicate"""

import asyncio
from typing import Any

import pytest

from accounts.models import User
from chats.models import HiddenSession, Session
from chats.services import copies, messages
from chats.services.copies import duplicate_session
from chats.services.removal import remove_hidden
from chats.titles import LONGEST_TITLE
from nanobanana.errors import NotFound
from nanobanana.redisdb.ids import time_of
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import Operation
from tests.media_store.uploads import stored_keys
from tests.support.consistency import inconsistencies
from tests.support.deaths import dying_after
from tests.support.people import Person
from tests.support.strangers import assert_private

SHARED = ("role", "text", "params", "imageIds", "createdAt", "updatedAt")


@pytest.fixture
async def full(alice: Person) -> dict[str, Any]:
    """A session with pictures, an edited message, tags; pinned and archived."""
    session = await alice.make_session("Cats")
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(2)]
    first = await alice.make_message(session["id"], "one", params={"steps": 20}, imageIds=image_ids)
    await alice.make_message(session["id"], "two", role="assistant", imageIds=image_ids[:1])
    await alice.make_message(session["id"], "one again", editedOf=first["id"])
    body = {"pinned": True, "archived": True, "tags": ["animals"]}
    return (await alice.put(f"/api/sessions/{session['id']}", body)).json()["session"]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "STEP", 2)


async def duplicate(person: Person, session_id: str, **body: Any) -> dict[str, Any]:
    answer = await person.post(f"/api/sessions/{session_id}/duplicate", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["session"]


async def messages_of(person: Person, session_id: str) -> list[dict[str, Any]]:
    return (await person.phone.get(f"/api/sessions/{session_id}/messages")).json()["messages"]


async def hidden_of(user: User) -> list[str]:
    return await HiddenSession.objects.ids(user.id, "hidden", first=0, limit=10)


@pytest.mark.usefixtures("small_steps")
async def test_the_copy_has_all_messages_with_their_times(alice: Person, full: dict[str, Any]) -> None:
    copy = await duplicate(alice, full["id"])
    originals, copied = await messages_of(alice, full["id"]), await messages_of(alice, copy["id"])
    assert [message["text"] for message in copied] == ["one", "two", "one again"]
    for original, message in zip(originals, copied, strict=True):
        assert {name: message[name] for name in SHARED} == {name: original[name] for name in SHARED}
        assert message["sessionId"] == copy["id"]
        assert message["id"] != original["id"]
        assert time_of(message["id"]) == time_of(original["id"])
    assert copied[2]["editedOf"] == copied[0]["id"]
    assert await inconsistencies([alice.id]) == []


async def test_what_the_copy_takes_over_and_what_not(alice: Person, full: dict[str, Any]) -> None:
    copy = await duplicate(alice, full["id"])
    assert (copy["title"], copy["messageCount"], copy["tags"]) == ("Cats (copy)", 3, ["animals"])
    assert (copy["pinned"], copy["archived"], copy["deletedAt"]) == (False, False, None)
    assert copy["createdAt"] == copy["updatedAt"] > full["updatedAt"]
    assert (await alice.get(f"/api/sessions/{full['id']}")).json()["session"] == full
    assert (await alice.get("/api/sessions?tag=animals")).json()["sessions"] == [copy]


async def test_pictures_are_counted_and_not_copied(alice: Person, full: dict[str, Any]) -> None:
    files = await stored_keys(alice.id)
    copy = await duplicate(alice, full["id"])
    assert await stored_keys(alice.id) == files
    images = (await alice.get(f"/api/images/session/{full['id']}")).json()["images"]
    assert sorted(image["refCount"] for image in images) == [2, 4]
    assert (await alice.get(f"/api/images/session/{copy['id']}")).json()["images"] == []
    await alice.delete(f"/api/sessions/{full['id']}?permanent=true")
    assert len((await messages_of(alice, copy["id"]))[0]["images"]) == 2
    assert await inconsistencies([alice.id]) == []


async def test_a_title_can_be_given_and_stays(alice: Person, session: dict[str, Any]) -> None:
    assert (await duplicate(alice, session["id"]))["title"] == "New Chat (copy)"
    copy = await duplicate(alice, session["id"], title="  Dogs ")
    assert copy["title"] == "Dogs"
    await alice.make_message(copy["id"], "Something else")
    assert (await alice.get(f"/api/sessions/{copy['id']}")).json()["session"]["title"] == "Dogs"


@pytest.mark.parametrize("title", ["x" * LONGEST_TITLE, "👨‍👩‍👧‍👦" * 14, "é" * 46 + "x"])
async def test_a_long_title_is_cut_between_graphemes(alice: Person, title: str) -> None:
    session = await alice.make_session(title)
    copy = (await duplicate(alice, session["id"]))["title"]
    assert len(copy) <= LONGEST_TITLE
    kept = copy.removesuffix(" (copy)")
    assert title.startswith(kept)
    assert not title[len(kept) :].startswith(("\u200d", "\u0301"))


async def test_only_the_whole_copy_is_heard_of(alice: Person, full: dict[str, Any]) -> None:
    await alice.phone.listen(full["id"])
    answer = await alice.post(f"/api/sessions/{full['id']}/duplicate")
    (frame,) = await alice.phone.heard()
    assert (frame["type"], frame["payload"]) == ("session_created", {"session": answer.json()["session"]})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_the_active_branch_of_the_copy_is_that_of_the_original(
    alice: Person, full: dict[str, Any]
) -> None:
    async def branch_of(session_id: str) -> list[str]:
        found = (await alice.get(f"/api/sessions/{session_id}/messages?branch=active")).json()["messages"]
        return [message["text"] for message in found]

    copy = await duplicate(alice, full["id"])
    assert await branch_of(copy["id"]) == await branch_of(full["id"])


async def test_the_copy_has_no_history(alice: Person, full: dict[str, Any]) -> None:
    message = (await messages_of(alice, full["id"]))[0]
    await alice.put(f"/api/messages/{message['id']}", {"text": "one, changed"})
    copy = await duplicate(alice, full["id"])
    copied = (await messages_of(alice, copy["id"]))[0]
    assert (copied["text"], copied["revision"]) == ("one, changed", 0)
    assert await inconsistencies([alice.id]) == []


async def test_a_copy_can_be_copied(alice: Person, full: dict[str, Any]) -> None:
    copy = await duplicate(alice, (await duplicate(alice, full["id"]))["id"])
    assert copy["title"] == "Cats (copy) (copy)"
    copied = await messages_of(alice, copy["id"])
    assert [message["text"] for message in copied] == ["one", "two", "one again"]
    assert copied[2]["editedOf"] == copied[0]["id"]
    assert await inconsistencies([alice.id]) == []


async def test_an_empty_session_has_an_empty_copy(alice: Person, session: dict[str, Any]) -> None:
    assert (await duplicate(alice, session["id"]))["messageCount"] == 0
    assert await inconsistencies([alice.id]) == []


@pytest.mark.usefixtures("small_steps")
async def test_whoever_dies_leaves_a_draft_that_is_removed(
    alice: Person, user: User, full: dict[str, Any]
) -> None:
    listed = (await alice.get("/api/sessions?archived=true")).json()
    deaths = 0
    for commits in range(10):
        with dying_after(commits) as death:
            await duplicate_session(user=user, session_id=full["id"])
        assert await inconsistencies([alice.id]) == []
        if not death:
            break
        deaths += 1
        for draft_id in await hidden_of(user):
            assert await remove_hidden(await HiddenSession.objects.aget(user.id, draft_id))
        assert (await alice.get("/api/sessions")).json()["sessions"] == []
        assert (await alice.get("/api/sessions?archived=true")).json() == listed
        assert await inconsistencies([alice.id]) == []
    assert deaths == 4, "at the beginning, at both steps, at the end"
    assert (await alice.get("/api/sessions")).json()["pagination"]["total"] == 1


@pytest.mark.usefixtures("small_steps")
async def test_what_fails_leaves_no_draft(
    alice: Person, user: User, full: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original goes to the trash while it is copied."""
    page_of = copies._page_of

    async def be_overtaken(original: Session, window: Window) -> Any:
        if window.behind:
            await alice.delete(f"/api/sessions/{full['id']}")
        return await page_of(original, window)

    monkeypatch.setattr(copies, "_page_of", be_overtaken)
    assert (await alice.post(f"/api/sessions/{full['id']}/duplicate")).status_code == 404
    assert await hidden_of(user) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_picture_deleted_meanwhile_is_not_in_the_copy(
    alice: Person, user: User, full: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = (await messages_of(alice, full["id"]))[1]
    page_of = copies._page_of

    async def be_overtaken(original: Session, window: Window) -> Any:
        page = await page_of(original, window)
        if page.objects[0].image_ids:
            for message in page.objects:
                await messages.update_message(
                    user=user, message_id=message.id, changes={"text": "without", "image_ids": []}
                )
            for image_id in last["imageIds"]:
                await alice.delete(f"/api/images/{image_id}")
        return page

    monkeypatch.setattr(copies, "_page_of", be_overtaken)
    copy = await duplicate(alice, full["id"])
    assert [message["imageIds"] for message in await messages_of(alice, copy["id"])] == [[], [], []]
    assert await hidden_of(user) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_operation_makes_one_copy(alice: Person, user: User, full: dict[str, Any]) -> None:
    operation = Operation("2" * 32, "the same request")
    copied = await asyncio.gather(
        *(duplicate_session(user=user, session_id=full["id"], operation=operation) for _ in range(3))
    )
    assert len({copy.id for copy in copied}) == 1
    assert await hidden_of(user) == []
    assert (await alice.get("/api/sessions")).json()["pagination"]["total"] == 1
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("title", ["", " ", "x" * 101, 7, None, ["x"]])
async def test_nonsense_is_refused(alice: Person, session: dict[str, Any], title: Any) -> None:
    answer = await alice.post(f"/api/sessions/{session['id']}/duplicate", {"title": title})
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"title"})
    assert (await alice.get("/api/sessions")).json()["pagination"]["total"] == 1


async def test_what_is_in_the_trash_is_not_copied(alice: Person, user: User, full: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{full['id']}")
    assert (await alice.post(f"/api/sessions/{full['id']}/duplicate")).status_code == 404
    with pytest.raises(NotFound):
        await duplicate_session(user=user, session_id=full["id"])
    assert await hidden_of(user) == []


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}/duplicate"
    await assert_private(alice, mallory, "POST", path, session["id"])
    assert (await mallory.get("/api/sessions")).json()["sessions"] == []
