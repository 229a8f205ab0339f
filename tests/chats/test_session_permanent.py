"""DELETE /api/sessions/:id?permanent=true"""

import asyncio
import contextlib
from typing import Any

import pytest

from accounts.models import User
from chats.models import HiddenSession, Message
from chats.services import removal, trash
from chats.services.purge import purge_user, trash_ends
from media_store.models import Image
from media_store.services import images as media_services
from media_store.storage import get_storage
from nanobanana import jobs
from tests.media_store.uploads import keys_of, stored_keys
from tests.support.consistency import inconsistencies
from tests.support.deaths import Died, dying_after
from tests.support.jobs import until_done, working
from tests.support.people import Person, picture
from tests.support.strangers import assert_private, content_of


async def delete_for_good(person: Person, session_id: str) -> Any:
    return await person.delete(f"/api/sessions/{session_id}?permanent=true")


async def fill(person: Person, session_id: str, *, messages: int = 5, images: int = 3) -> list[str]:
    """Messages and pictures, some of which several messages show and some none; the ids of the pictures."""
    pictures = [picture(colour=f"#{number:06x}") for number in range(images)]
    image_ids = [(await person.make_image(session_id, content))["id"] for content in pictures]
    for number in range(messages):
        await person.make_message(session_id, imageIds=image_ids[: number % images])
    return image_ids


async def hide(user: User, session_id: str) -> HiddenSession:
    return await trash._hide(user, session_id)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "STEP", 2)
    monkeypatch.setattr(media_services, "STEP", 2)


@pytest.mark.parametrize("is_in_trash", [False, True])
async def test_nothing_is_left(alice: Person, user: User, session: dict[str, Any], is_in_trash: bool) -> None:
    image_ids = await fill(alice, session["id"])
    if is_in_trash:
        await alice.delete(f"/api/sessions/{session['id']}")
    answer = await delete_for_good(alice, session["id"])
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    for path in ("/api/sessions", "/api/sessions/trash"):
        assert (await alice.phone.get(path)).json()["sessions"] == []
    assert (await alice.get("/api/images/user/all")).json()["images"] == []
    assert (await alice.get(f"/api/images/{image_ids[0]}")).status_code == 404
    assert (await alice.post(f"/api/sessions/{session['id']}/restore")).status_code == 404
    assert await stored_keys(alice.id) == []
    assert await HiddenSession.objects.find(user.id, session["id"]) is None
    assert await Message.objects.acount(user.id, Message.objects.index_of(session["id"])) == 0
    assert await inconsistencies([alice.id]) == []


async def test_all_devices_hear_of_it_once(alice: Person, session: dict[str, Any]) -> None:
    await fill(alice, session["id"])
    await alice.phone.listen((await alice.make_session())["id"])
    answer = await delete_for_good(alice, session["id"])
    (frame,) = await alice.phone.heard()
    assert (frame["type"], frame["payload"]) == ("session_deleted", {"sessionId": session["id"]})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_what_was_in_the_trash_goes_in_silence(alice: Person, session: dict[str, Any]) -> None:
    await alice.delete(f"/api/sessions/{session['id']}")
    await alice.phone.listen((await alice.make_session())["id"])
    assert (await delete_for_good(alice, session["id"])).status_code == 200
    assert await alice.phone.heard() == []


async def test_pictures_that_others_show_stay(alice: Person, session: dict[str, Any]) -> None:
    shown, only_here = await fill(alice, session["id"], images=2)
    elsewhere = await alice.make_session()
    message = await alice.make_message(elsewhere["id"], imageIds=[shown])
    await delete_for_good(alice, session["id"])
    image = (await alice.get(f"/api/images/{shown}")).json()["image"]
    assert (image["refCount"], image["sessionId"]) == (1, session["id"])
    assert (await alice.get(f"/api/messages/{message['id']}/images")).json()["images"] == [image]
    assert (await alice.get(f"/api/images/{only_here}")).status_code == 404
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await inconsistencies([alice.id]) == []
    # and are deleted as any other, once nobody shows them
    await delete_for_good(alice, elsewhere["id"])
    assert (await alice.delete(f"/api/images/{shown}")).status_code == 200
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_picture_shown_meanwhile_stays(
    alice: Person, user: User, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of the pictures and their removal a message of another session shows one."""
    (image_id,) = await fill(alice, session["id"], images=1, messages=1)
    elsewhere = await alice.make_session()
    discard = media_services._discard_for_good

    async def be_overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(media_services, "_discard_for_good", discard)
        await alice.make_message(elsewhere["id"], imageIds=[image_id])
        await discard(*arguments)

    monkeypatch.setattr(media_services, "_discard_for_good", be_overtaken)
    await delete_for_good(alice, session["id"])
    assert (await Image.objects.aget(user.id, image_id)).ref_count == 1
    assert await HiddenSession.objects.find(user.id, session["id"]) is None
    assert await inconsistencies([alice.id]) == []


@pytest.mark.usefixtures("small_steps")
async def test_whoever_dies_leaves_exact_counts_and_is_followed(
    alice: Person, user: User, session: dict[str, Any]
) -> None:
    await fill(alice, session["id"])
    hidden, deaths = await hide(user, session["id"]), 0
    while hidden:
        with dying_after(2) as death:  # to claim the session, and one step
            await removal.remove_hidden(hidden)
        deaths += len(death)
        assert await inconsistencies([alice.id]) == []
        hidden = await HiddenSession.objects.find(user.id, session["id"])
    assert deaths == 5, "three times for messages, twice for pictures"
    assert await stored_keys(alice.id) == []


async def test_files_left_behind_are_removed_later(
    alice: Person, user: User, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(alice, session["id"])
    hidden = await hide(user, session["id"])

    async def die(prefix: str) -> None:
        raise Died

    with monkeypatch.context() as patch, contextlib.suppress(Died):
        patch.setattr(get_storage(), "delete_prefix", die)
        await removal.remove_hidden(hidden)
    assert len(await stored_keys(alice.id)) == 6
    assert await inconsistencies([alice.id]) == []
    assert [found.id async for found in purge_user(user_id=user.id, before=trash_ends())] == [session["id"]]
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


@pytest.mark.usefixtures("small_steps")
async def test_two_who_remove_the_same_leave_nothing(
    alice: Person, user: User, session: dict[str, Any]
) -> None:
    await fill(alice, session["id"])
    await hide(user, session["id"])

    async def remove() -> None:
        while hidden := await HiddenSession.objects.find(user.id, session["id"]):
            await removal.remove_hidden(hidden)

    await asyncio.gather(remove(), remove(), remove())
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_large_one_is_removed_behind_the_answer(
    alice: Person, user: User, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(alice, session["id"])
    may_go_on, remove_page = asyncio.Event(), removal._remove_some_messages

    async def wait_first(hidden: HiddenSession) -> bool:
        await may_go_on.wait()
        return await remove_page(hidden)

    monkeypatch.setattr(removal, "_remove_some_messages", wait_first)
    monkeypatch.setattr(jobs, "PATIENCE", 0.05)
    assert (await delete_for_good(alice, session["id"])).status_code == 200
    assert (await alice.get("/api/sessions")).json()["sessions"] == []
    assert (await delete_for_good(alice, session["id"])).status_code == 404
    assert await inconsistencies([alice.id]) == []
    may_go_on.set()
    async with working(trash.remove_session):
        await until_done()
    assert await HiddenSession.objects.find(user.id, session["id"]) is None
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_another_device_that_writes_meanwhile_leaves_nothing_behind(
    alice: Person, session: dict[str, Any]
) -> None:
    async def write() -> set[int]:
        body = {"role": "user", "text": "Hello"}
        path = f"/api/sessions/{session['id']}/messages"
        return {(await alice.phone.post(path, body)).status_code for _ in range(15)}

    async def delete() -> int:
        await asyncio.sleep(0.02)
        return (await delete_for_good(alice, session["id"])).status_code

    *written, deleted = await asyncio.gather(write(), write(), delete())
    assert set().union(*written) <= {201, 404}
    assert deleted == 200
    assert (await alice.get("/api/sessions")).json()["sessions"] == []
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("query", ["permanent=yes", "permanent=1", "permanent=", "permanent=TRUE"])
async def test_anything_but_true_and_false_is_refused(
    alice: Person, session: dict[str, Any], query: str
) -> None:
    answer = await alice.delete(f"/api/sessions/{session['id']}?{query}")
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"permanent"})
    assert (await alice.get(f"/api/sessions/{session['id']}")).status_code == 200


async def test_false_means_the_trash(alice: Person, session: dict[str, Any]) -> None:
    assert (await alice.delete(f"/api/sessions/{session['id']}?permanent=false")).status_code == 200
    assert len((await alice.get("/api/sessions/trash")).json()["sessions"]) == 1


async def test_it_can_be_done_once(alice: Person, session: dict[str, Any]) -> None:
    await delete_for_good(alice, session["id"])
    again = await delete_for_good(alice, session["id"])
    never = await delete_for_good(alice, "0" * 26)
    assert (again.status_code, content_of(again)) == (404, content_of(never))


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}?permanent=true"
    await assert_private(alice, mallory, "DELETE", path, session["id"])
    await alice.delete(f"/api/sessions/{session['id']}")
    await assert_private(alice, mallory, "DELETE", path, session["id"])
    assert len((await alice.get("/api/sessions/trash")).json()["sessions"]) == 1
