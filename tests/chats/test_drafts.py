"""chats/services/drafts.py: sessions that nobody sees until they are whole."""

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import User
from chats.models import TITLE_BY_PERSON, HiddenSession, Message
from chats.services.drafts import (
    DRAFT_LIFE,
    DRAFT_STEP,
    add_to_draft,
    begin_draft,
    discard_draft,
    publish_draft,
)
from chats.services.removal import remove_hidden
from media_store.models import Image
from media_store.services.images import delete_image
from nanobanana.errors import Conflict, NotFound
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.unit_of_work import Operation
from tests.support.consistency import inconsistencies
from tests.support.people import Person

LONG_AGO = now() - timedelta(days=1000)


@pytest.fixture
async def draft(user: User) -> HiddenSession:
    return await begin_draft(
        user=user, title="Cats", title_origin=TITLE_BY_PERSON, created_at=LONG_AGO, updated_at=LONG_AGO
    )


def message(draft: HiddenSession, text: str = "Hello", **fields: Any) -> Message:
    identifier = new_id(at=LONG_AGO)
    moment = time_of(identifier)
    return Message(
        draft.owner_id,
        identifier,
        session_id=draft.id,
        role="user",
        text=text,
        created_at=moment,
        updated_at=moment,
        **fields,
    )


async def assert_nothing_is_left(user: User, draft: HiddenSession) -> None:
    assert await HiddenSession.objects.find(user.id, draft.id) is None
    assert await Message.objects.acount(user.id, Message.objects.index_of(draft.id)) == 0
    assert await inconsistencies([user.id]) == []


async def test_nobody_sees_a_draft(alice: Person, user: User, draft: HiddenSession) -> None:
    said = message(draft)
    await add_to_draft(user=user, draft=draft, messages=[said])
    for path in (
        f"/api/sessions/{draft.id}",
        f"/api/sessions/{draft.id}/messages",
        f"/api/sessions/{draft.id}/stats",
        f"/api/images/session/{draft.id}",
        f"/api/messages/{said.id}",
    ):
        assert (await alice.get(path)).status_code == 404, path
    assert (await alice.get("/api/sessions")).json()["sessions"] == []
    assert (await alice.get("/api/sessions/trash")).json()["sessions"] == []
    assert (
        await alice.post(f"/api/sessions/{draft.id}/messages", {"role": "user", "text": "?"})
    ).status_code == 404
    assert (await alice.delete(f"/api/sessions/{draft.id}?permanent=true")).status_code == 404
    assert await inconsistencies([alice.id]) == []


async def test_a_published_draft_is_a_session_of_its_time(
    alice: Person, user: User, draft: HiddenSession, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    texts = [f"message {number}" for number in range(5)]
    await add_to_draft(user=user, draft=draft, messages=[message(draft, text) for text in texts])
    published = await publish_draft(user=user, draft=draft)
    assert (published.id, published.message_count) == (draft.id, 5)
    assert time_of(draft.id) == published.created_at == LONG_AGO
    listed = (await alice.get("/api/sessions")).json()["sessions"]
    assert [found["id"] for found in listed] == [session["id"], draft.id]
    found = (await alice.get(f"/api/sessions/{draft.id}/messages")).json()["messages"]
    assert [said["text"] for said in found] == texts
    (frame,) = await alice.phone.heard()
    assert (frame["type"], frame["payload"]) == ("session_created", {"session": listed[1]})
    assert await HiddenSession.objects.find(user.id, draft.id) is None
    assert await inconsistencies([alice.id]) == []


async def test_references_are_counted(
    alice: Person, user: User, draft: HiddenSession, session: dict[str, Any]
) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(2)]
    said = [message(draft, image_ids=image_ids), message(draft, image_ids=image_ids[:1])]
    await add_to_draft(user=user, draft=draft, messages=said)
    counts = [(await Image.objects.aget(user.id, image_id)).ref_count for image_id in image_ids]
    assert counts == [2, 1]
    await discard_draft(user=user, draft=draft)
    counts = [(await Image.objects.aget(user.id, image_id)).ref_count for image_id in image_ids]
    assert counts == [0, 0]
    await assert_nothing_is_left(user, draft)


async def test_a_picture_that_is_gone_stops_the_step(
    alice: Person, user: User, draft: HiddenSession, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    await delete_image(user=user, image_id=image["id"])
    with pytest.raises(NotFound):
        await add_to_draft(user=user, draft=draft, messages=[message(draft, image_ids=[image["id"]])])
    assert (await HiddenSession.objects.aget(user.id, draft.id)).message_count == 0
    assert await inconsistencies([alice.id]) == []


async def test_each_step_puts_off_the_removal(user: User, draft: HiddenSession) -> None:
    draft_before = await HiddenSession.objects.aget(user.id, draft.id)
    await add_to_draft(user=user, draft=draft, messages=[])
    found = await HiddenSession.objects.aget(user.id, draft.id)
    assert draft_before.removable_at <= found.removable_at == draft.removable_at
    assert found.removable_at - now() <= DRAFT_LIFE
    assert not await remove_hidden(draft_before) or draft_before.removable_at == found.removable_at


async def test_a_step_is_bounded(user: User, draft: HiddenSession) -> None:
    with pytest.raises(ValueError):
        await add_to_draft(user=user, draft=draft, messages=[message(draft)] * (DRAFT_STEP + 1))


async def test_what_is_being_removed_takes_nothing_more(user: User, draft: HiddenSession) -> None:
    await add_to_draft(user=user, draft=draft, messages=[message(draft)])
    found = await HiddenSession.objects.aget(user.id, draft.id)
    assert await remove_hidden(found)
    with pytest.raises(Conflict):
        await add_to_draft(user=user, draft=draft, messages=[message(draft)])
    with pytest.raises(Conflict):
        await publish_draft(user=user, draft=draft)
    await discard_draft(user=user, draft=draft)
    await assert_nothing_is_left(user, draft)


async def test_a_published_draft_is_not_discarded(alice: Person, user: User, draft: HiddenSession) -> None:
    await publish_draft(user=user, draft=draft)
    await discard_draft(user=user, draft=draft)
    assert (await alice.get(f"/api/sessions/{draft.id}")).status_code == 200


async def test_a_repeated_operation_publishes_one(alice: Person, user: User) -> None:
    operation, published = Operation("0" * 32, "the same request"), []
    for _ in range(2):
        draft = await begin_draft(
            user=user, title="Cats", title_origin=TITLE_BY_PERSON, created_at=now(), updated_at=now()
        )
        await add_to_draft(user=user, draft=draft, messages=[message(draft)])
        published.append(await publish_draft(user=user, draft=draft, operation=operation))
    assert published[0] == published[1]
    await assert_nothing_is_left(user, draft)
    assert (await alice.get("/api/sessions")).json()["pagination"]["total"] == 1
