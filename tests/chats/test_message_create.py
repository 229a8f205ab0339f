"""POST /api/sessions/:id/messages"""

from typing import Any

import pytest

from chats.models import Message, Session
from media_store.models import Image
from nanobanana.redisdb.ids import new_id
from tests.support.consistency import inconsistencies
from tests.support.people import Person
from tests.support.strangers import assert_private, content_of

MEGABYTE = 1024 * 1024


async def post(person: Person, session_id: str, **body: Any) -> Any:
    return await person.post(f"/api/sessions/{session_id}/messages", {"role": "user", **body})


async def count_of(person: Person, session_id: str) -> tuple[int, int]:
    """How many messages the session says it has, and how many it lists."""
    session = await Session.objects.aget(person.id, session_id)
    listed = await Message.objects.acount(person.id, f"session:{session_id}:messages")
    return session.message_count, listed


async def test_it_answers_with_the_message_and_tells_the_devices_in_the_session(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    await alice.phone.listen(session["id"])
    answer = await post(
        alice, session["id"], text="A cat", params={"seed": 7, "size": [1, 2]}, imageIds=[image["id"]]
    )
    assert answer.status_code == 201
    assert answer.json().keys() == {"message", "messageData"}
    created = answer.json()["messageData"]
    shown = {**image, "refCount": 1, "updatedAt": created["images"][0]["updatedAt"]}
    assert created == {
        "id": created["id"],
        "sessionId": session["id"],
        "role": "user",
        "text": "A cat",
        "params": {"seed": 7, "size": [1, 2]},
        "imageIds": [image["id"]],
        "createdAt": created["createdAt"],
        "updatedAt": created["createdAt"],
        "editedOf": None,
        "revision": 0,
        "images": [shown],
    }
    stored = await Message.objects.aget(alice.id, created["id"])
    assert (stored.text, stored.params, stored.image_ids, stored.revision) == (
        "A cat",
        {"seed": 7, "size": [1, 2]},
        [image["id"]],
        0,
    )
    heard = [await alice.phone.next_frame() for _ in range(2)]
    assert [frame["type"] for frame in heard] == ["message_created", "session_updated"]
    assert heard[0]["payload"] == {"message": created}
    assert heard[1]["payload"]["session"]["messageCount"] == 1
    assert heard[1]["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_it_counts_in_its_session_and_is_its_latest_activity(
    alice: Person, session: dict[str, Any]
) -> None:
    message = await alice.make_message(session["id"])
    assert await count_of(alice, session["id"]) == (1, 1)
    read = (await alice.get(f"/api/sessions/{session['id']}")).json()["session"]
    assert (read["messageCount"], read["updatedAt"]) == (1, message["createdAt"])


@pytest.mark.parametrize("role", ["user", "assistant", "model", "system"])
async def test_anybody_known_may_speak(alice: Person, session: dict[str, Any], role: str) -> None:
    assert (await alice.make_message(session["id"], role=role))["role"] == role


@pytest.mark.parametrize(
    "text",
    [
        "x" * 32_000,
        "🍌" * 32_000,
        "  leading and trailing  \n",
        "你好，世界 — \u202e\u200b\u0301 \x01\x7f",
        "nb:{u:1}:session:1\r\n*1\r\n$8\r\nFLUSHALL\r\n",
    ],
    ids=["longest", "longest emoji", "blanks", "odd", "protocol"],
)
async def test_a_text_is_kept_as_it_is(alice: Person, session: dict[str, Any], text: str) -> None:
    created = await alice.make_message(session["id"], text)
    assert created["text"] == text
    assert (await Message.objects.aget(alice.id, created["id"])).text == text


async def test_an_image_alone_is_a_message(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    answer = await alice.post(
        f"/api/sessions/{session['id']}/messages", {"role": "assistant", "imageIds": [image["id"]]}
    )
    assert answer.status_code == 201
    assert answer.json()["messageData"]["text"] == ""


INVALID = [
    ({"role": "admin", "text": "Hi"}, "role"),
    ({"role": "", "text": "Hi"}, "role"),
    ({"role": None, "text": "Hi"}, "role"),
    ({"role": ["user"], "text": "Hi"}, "role"),
    ({"text": "Hi"}, "role"),
    ({"role": "user"}, "text"),
    ({"role": "user", "text": ""}, "text"),
    ({"role": "user", "text": "", "imageIds": []}, "text"),
    ({"role": "user", "text": "x" * 32_001}, "text"),
    ({"role": "user", "text": 5}, "text"),
    ({"role": "user", "text": None}, "text"),
    ({"role": "user", "text": ["Hi"]}, "text"),
    ({"role": "user", "text": "a\x00b"}, "text"),
    ({"role": "user", "text": "Hi", "params": []}, "params"),
    ({"role": "user", "text": "Hi", "params": "{}"}, "params"),
    ({"role": "user", "text": "Hi", "params": 5}, "params"),
    ({"role": "user", "text": "Hi", "imageIds": "abc"}, "imageIds"),
    ({"role": "user", "text": "Hi", "imageIds": {"a": 1}}, "imageIds"),
    ({"role": "user", "text": "Hi", "imageIds": [f"{n:026}" for n in range(21)]}, "imageIds"),
    ({"role": "user", "text": "Hi", "editedOf": 5}, "editedOf"),
    ({"role": "user", "text": "Hi", "editedOf": ""}, "editedOf"),
]


async def test_what_is_not_valid_is_refused_and_named(alice: Person, session: dict[str, Any]) -> None:
    for body, field in INVALID:
        answer = await alice.post(f"/api/sessions/{session['id']}/messages", body)
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed"), body
        assert list(answer.json()["details"]) == [field], body
    assert await count_of(alice, session["id"]) == (0, 0)


async def test_what_cannot_be_the_id_of_an_image_is_refused(alice: Person, session: dict[str, Any]) -> None:
    for malformed in (5, None, ["a"], {"id": "a"}, "", "x" * 65):
        answer = await post(alice, session["id"], text="Hi", imageIds=[malformed])
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["imageIds"]), malformed
    assert await count_of(alice, session["id"]) == (0, 0)


def nested(depth: int, innermost: Any) -> Any:
    """An object of so many objects and lists, one in the other, around something."""
    value = innermost
    for level in range(depth):
        value = {"inner": value} if (depth - level) % 2 else [value]
    return value


@pytest.mark.parametrize("innermost", [1, "text", None])
async def test_params_may_be_nested_sixteen_deep(
    alice: Person, session: dict[str, Any], innermost: Any
) -> None:
    params = nested(16, innermost)
    created = await alice.make_message(session["id"], params=params)
    assert created["params"] == params
    assert (await Message.objects.aget(alice.id, created["id"])).params == params
    answer = await post(alice, session["id"], text="Hi", params=nested(17, innermost))
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["params"])


@pytest.mark.parametrize("innermost", [{}, []])
async def test_an_empty_object_or_list_is_a_level_too(
    alice: Person, session: dict[str, Any], innermost: Any
) -> None:
    assert (await post(alice, session["id"], text="Hi", params=nested(15, innermost))).status_code == 201
    assert (await post(alice, session["id"], text="Hi", params=nested(16, innermost))).status_code == 400


async def test_params_may_have_sixteen_kilobytes(alice: Person, session: dict[str, Any]) -> None:
    frame = len('{"a":""}')
    fits, too_large = ({"a": "x" * (16 * 1024 - frame + extra)} for extra in (0, 1))
    assert (await post(alice, session["id"], text="Hi", params=fits)).status_code == 201
    assert (await post(alice, session["id"], text="Hi", params=too_large)).status_code == 400
    wide = {"a": "猫" * (16 * 1024 // 3)}
    assert (await post(alice, session["id"], text="Hi", params=wide)).status_code == 400


@pytest.mark.parametrize(
    "params",
    [
        {"": {"ключ": "値"}, "a.b": [True, False, None, 0.1, -1e300, 2**53, 12345678901234567890]},
        {"__proto__": {"x": 1}, "$where": "1", "nested": [[], {}, ""]},
    ],
)
async def test_params_are_kept_as_they_are(
    alice: Person, session: dict[str, Any], params: dict[str, Any]
) -> None:
    created = await alice.make_message(session["id"], params=params)
    assert created["params"] == params
    assert (await alice.get(f"/api/messages/{created['id']}")).json()["message"]["params"] == params


async def test_without_params_they_are_empty(alice: Person, session: dict[str, Any]) -> None:
    assert (await alice.make_message(session["id"]))["params"] == {}
    assert (await alice.make_message(session["id"], params=None))["params"] == {}


async def test_an_image_given_twice_counts_once(alice: Person, session: dict[str, Any]) -> None:
    first, second = [(await alice.make_image(session["id"]))["id"] for _ in range(2)]
    created = await alice.make_message(session["id"], imageIds=[second, first, second])
    assert created["imageIds"] == [second, first]
    assert [image["id"] for image in created["images"]] == [second, first]
    assert [image["refCount"] for image in created["images"]] == [1, 1]
    assert await inconsistencies([alice.id]) == []


async def test_a_message_shows_twenty_images_however_often_they_are_named(
    alice: Person, session: dict[str, Any]
) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(20)]
    created = await alice.make_message(session["id"], imageIds=image_ids * 2)
    assert created["imageIds"] == image_ids


async def test_an_absent_or_foreign_image_is_not_found_and_nothing_is_written(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    own = await alice.make_image(session["id"])
    foreign = await mallory.make_image((await mallory.make_session())["id"])
    deleted = await alice.make_image(session["id"])
    await alice.delete(f"/api/images/{deleted['id']}")
    await alice.phone.listen(session["id"])
    answers = [
        await post(alice, session["id"], text="Look", imageIds=[own["id"], image_id])
        for image_id in (
            new_id(),
            foreign["id"],
            deleted["id"],
            "nonsense",
            session["id"],
            "a,b",
            f"{own['id']},",
        )
    ]
    assert {(answer.status_code, str(content_of(answer))) for answer in answers} == {
        (404, str(content_of(answers[0])))
    }
    assert await count_of(alice, session["id"]) == (0, 0)
    assert (await Image.objects.aget(alice.id, own["id"])).ref_count == 0
    assert (await Image.objects.aget(mallory.id, foreign["id"])).ref_count == 0
    assert (await Session.objects.aget(alice.id, session["id"])).title == "New Chat"
    assert await alice.phone.heard() == []


async def test_it_can_say_which_message_it_is_the_edit_of(alice: Person, session: dict[str, Any]) -> None:
    original = await alice.make_message(session["id"])
    edited = await alice.make_message(session["id"], "Hello again", editedOf=original["id"])
    assert edited["editedOf"] == original["id"]
    assert (await Message.objects.aget(alice.id, edited["id"])).edited_of == original["id"]
    assert (await alice.make_message(session["id"], editedOf=None))["editedOf"] is None


async def test_it_is_no_edit_of_an_absent_or_foreign_message_or_one_of_another_session(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    foreign = await mallory.make_message((await mallory.make_session())["id"])
    elsewhere = await alice.make_message((await alice.make_session())["id"])
    answers = [
        await post(alice, session["id"], text="Hi", editedOf=message_id)
        for message_id in (new_id(), foreign["id"], elsewhere["id"], session["id"], "nonsense")
    ]
    assert {(answer.status_code, str(content_of(answer))) for answer in answers} == {
        (404, str(content_of(answers[0])))
    }
    assert await count_of(alice, session["id"]) == (0, 0)


async def test_nothing_can_be_set_that_may_not_be_set(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    other = await alice.make_session()
    forged = {
        "id": "0" * 26,
        "userId": mallory.id,
        "owner_id": mallory.id,
        "user": mallory.id,
        "sessionId": other["id"],
        "session_id": other["id"],
        "createdAt": "2001-01-01T00:00:00.000Z",
        "updated_at": "2001-01-01T00:00:00.000Z",
        "revision": 9,
        "images": [{"id": "0" * 26}],
        "image_ids": ["0" * 26],
        "operation": "x",
        "nonsense": {"deep": [1]},
    }
    answer = await alice.post(
        f"/api/sessions/{session['id']}/messages", {"role": "user", "text": "Hi", **forged}
    )
    created = answer.json()["messageData"]
    assert (created["sessionId"], created["imageIds"], created["images"]) == (session["id"], [], [])
    assert created["id"] != forged["id"]
    assert not created["createdAt"].startswith("2001")
    stored = await Message.objects.aget(alice.id, created["id"])
    assert (stored.session_id, stored.revision, stored.image_ids) == (session["id"], 0, [])
    assert await count_of(alice, other["id"]) == (0, 0)


async def test_a_body_over_a_megabyte_is_refused(alice: Person, session: dict[str, Any]) -> None:
    answer = await post(alice, session["id"], text="Hi", padding="x" * MEGABYTE)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert await count_of(alice, session["id"]) == (0, 0)


async def test_a_message_too_large_for_the_log_is_told_by_its_ids(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    created = await alice.make_message(session["id"], "x" * 5000)
    frame = await alice.phone.next_frame()
    assert frame["type"] == "message_created"
    assert frame["payload"] == {"sessionId": session["id"], "messageId": created["id"], "partial": True}


async def test_devices_elsewhere_hear_of_the_session_only(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    await alice.make_message(session["id"])
    assert await alice.phone.heard_types(at_least=1) == ["session_updated"]


async def test_it_is_private(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    path, body = f"/api/sessions/{session['id']}/messages", {"role": "user", "text": "Hi"}
    await assert_private(alice, mallory, "POST", path, session["id"], body)
    assert await count_of(alice, session["id"]) == (0, 0)
