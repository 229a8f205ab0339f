"""GET /api/messages/:id/revisions"""

from typing import Any

import pytest

from chats import managers
from chats.models import Message
from nanobanana.redisdb.client import get_client
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private


async def page_of(
    person: Person, message: dict[str, Any], **query: str | int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    answer = await person.phone.get(f"/api/messages/{message['id']}/revisions", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["revisions"], answer.json()["pagination"]


async def numbers_of(person: Person, message: dict[str, Any], **query: str | int) -> list[int]:
    return [revision["revision"] for revision in (await page_of(person, message, **query))[0]]


async def edit(person: Person, message: dict[str, Any], *texts: str) -> None:
    for text in texts:
        assert (await person.put(f"/api/messages/{message['id']}", {"text": text})).status_code == 200


async def test_a_message_nobody_changed_has_its_present_version(
    alice: Person, session: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"], "Hello", params={"seed": 7})
    revisions, pagination = await page_of(alice, message)
    assert revisions == [
        {
            "revision": 0,
            "text": "Hello",
            "params": {"seed": 7},
            "imageIds": [],
            "updatedAt": message["createdAt"],
        }
    ]
    assert pagination == {"limit": 20, "offset": 0, "total": 1, "hasMore": False, "nextCursor": None}


async def test_every_change_keeps_the_version_before_it(alice: Person, session: dict[str, Any]) -> None:
    image = (await alice.make_image(session["id"]))["id"]
    message = await alice.make_message(session["id"], "first")
    path = f"/api/messages/{message['id']}"
    changed = [message]
    for answer in (
        await alice.put(path, {"text": "猫 \U0001f34c"}),
        await alice.put(path, {"params": {"seed": 1.5}, "text": ""}),
        await alice.post(f"{path}/images", {"imageId": image}),
        await alice.delete(f"{path}/images/{image}"),
        await alice.post(f"{path}/restore", {"revision": 1}),
    ):
        changed.append(answer.json()["messageData"])
    revisions, pagination = await page_of(alice, message)
    assert revisions == [
        {name: version[name] for name in ("revision", "text", "params", "imageIds", "updatedAt")}
        for version in changed[::-1]
    ]
    assert [version["revision"] for version in changed] == [0, 1, 2, 3, 4, 5]
    assert pagination["total"] == 6
    assert await inconsistencies([alice.id]) == []


async def test_what_changes_nothing_makes_no_revision(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"], "same")
    await edit(alice, message, "same", "same")
    assert await numbers_of(alice, message) == [0]
    assert await get_client().exists(Message.objects.revisions_key(Message(alice.id, message["id"]))) == 0


async def test_pages_by_offset_and_by_cursor(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await edit(alice, message, *"abcdef")
    assert await numbers_of(alice, message, limit=3) == [6, 5, 4]
    assert await numbers_of(alice, message, limit=3, offset=3) == [3, 2, 1]
    revisions, pagination = await page_of(alice, message, limit=4, offset=4)
    assert ([revision["revision"] for revision in revisions], pagination["hasMore"]) == ([2, 1, 0], False)
    assert await numbers_of(alice, message, offset=7) == []
    _, pagination = await page_of(alice, message, limit=2)
    await edit(alice, message, "changed while somebody reads on")
    revisions, pagination = await page_of(alice, message, limit=5, cursor=pagination["nextCursor"])
    assert [revision["revision"] for revision in revisions] == [4, 3, 2, 1, 0]
    assert (pagination["offset"], pagination["total"], pagination["hasMore"]) == (3, 8, False)


async def test_the_oldest_ones_go(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert managers.REVISIONS_KEPT == 100
    monkeypatch.setattr(managers, "REVISIONS_KEPT", 3)
    message = await alice.make_message(session["id"])
    await edit(alice, message, *"abcdef")
    revisions, pagination = await page_of(alice, message)
    assert [(revision["revision"], revision["text"]) for revision in revisions] == [
        (6, "f"),
        (5, "e"),
        (4, "d"),
        (3, "c"),
    ]
    assert (pagination["total"], pagination["hasMore"]) == (4, False)
    gone = await alice.post(f"/api/messages/{message['id']}/restore", {"revision": 2})
    assert gone.status_code == 404
    assert await inconsistencies([alice.id]) == []


async def test_a_deleted_message_leaves_none(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await edit(alice, message, "changed")
    await alice.delete(f"/api/messages/{message['id']}")
    assert (await alice.get(f"/api/messages/{message['id']}/revisions")).status_code == 404
    assert await inconsistencies([alice.id]) == []


async def test_a_deleted_account_leaves_none(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(
        session["id"], editedOf=(await alice.make_message(session["id"]))["id"]
    )
    await edit(alice, message, "changed")
    assert (await alice.delete("/api/auth/me", {"password": alice.password})).status_code == 200
    left = [key async for key in get_client().scan_iter(f"*{alice.id}*message*", count=1000)]
    left += [key async for key in get_client().scan_iter(f"*{alice.id}*session*", count=1000)]
    assert left == []


async def test_a_bad_value_is_refused_and_named(alice: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    for name, value in (("limit", "0"), ("offset", "-1"), ("cursor", "nonsense")):
        answer = await alice.get(f"/api/messages/{message['id']}/revisions", params={name: value})
        assert (answer.status_code, list(answer.json()["details"])) == (400, [name])


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    message = await alice.make_message(session["id"])
    await assert_private(alice, mallory, "GET", f"/api/messages/{message['id']}/revisions", message["id"])
