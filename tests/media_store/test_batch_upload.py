"""POST /api/images/upload/batch"""

import asyncio
from typing import Any

import httpx

from media_store.models import Image
from nanobanana.redisdb.managers import Window
from tests.media_store.pictures import sample
from tests.media_store.uploads import (
    field,
    file,
    form,
    keys_of,
    post_form,
    send_and_leave,
    stored_keys,
    until,
)
from tests.support.consistency import inconsistencies
from tests.support.people import Device, Person, picture
from tests.support.strangers import assert_signed_out, content_of

BATCH = "/api/images/upload/batch"


async def send(device: Device, session_id: str, *files: tuple[str, bytes], **options: Any) -> httpx.Response:
    parts = [("images", (name, content)) for name, content in files]
    data = {"sessionId": session_id, "type": options.pop("type", "uploaded")}
    return await device.request("POST", BATCH, files=parts, data=data, **options)


async def count_of(person: Person) -> int:
    return (await Image.objects.alist(person.id, Window(1))).total


async def test_all_files_become_images_and_the_devices_in_the_session_hear_of_each(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    files = [(f"{colour}.png", picture(colour=colour)) for colour in ("red", "green", "blue")]
    answer = await send(alice.laptop, session["id"], *files, type="reference")
    assert answer.status_code == 201
    assert answer.json().keys() == {"message", "results"}
    results = answer.json()["results"]
    assert results.keys() == {"successful", "failed", "total"}
    assert (len(results["successful"]), results["failed"], results["total"]) == (3, [], 3)
    assert {image["type"] for image in results["successful"]} == {"reference"}
    stored = [await Image.objects.aget(alice.id, image["id"]) for image in results["successful"]]
    assert [image.size for image in stored] == [len(content) for _, content in files]
    assert await inconsistencies([alice.id]) == []
    heard = [await alice.phone.next_frame() for _ in range(3)]
    assert {frame["type"] for frame in heard} == {"image_created"}
    assert sorted(frame["payload"]["image"]["id"] for frame in heard) == sorted(
        image["id"] for image in results["successful"]
    )
    assert await alice.phone.heard() == []


async def test_the_cursor_is_that_of_the_last_image(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen(session["id"])
    answer = await send(alice.laptop, session["id"], *[("a.png", picture())] * 10)
    cursors = [(await alice.phone.next_frame())["cursor"] for _ in range(10)]
    assert answer.headers["X-Sync-Cursor"] == cursors[-1]


async def test_a_file_that_fails_does_not_stop_the_others(alice: Person, session: dict[str, Any]) -> None:
    answer = await send(
        alice.laptop,
        session["id"],
        ("good.png", picture()),
        ("notes.txt", b"hello"),
        ("broken.jpg", sample("hostile/truncated_jpeg.jpg")),
        ("bomb.gif", sample("hostile/decompression_bomb.gif")),
        ("large.png", b"\0" * (10 * 1024 * 1024 + 1)),
        ("fine.jpg", sample("photos/rocket.jpg")),
    )
    assert answer.status_code == 201
    results = answer.json()["results"]
    assert [image["mime"] for image in results["successful"]] == ["image/png", "image/jpeg"]
    assert results["total"] == 6
    assert [(failure["filename"], failure["error"]) for failure in results["failed"]] == [
        ("notes.txt", "unsupported_media_type"),
        ("broken.jpg", "unreadable_picture"),
        ("bomb.gif", "payload_too_large"),
        ("large.png", "payload_too_large"),
    ]
    assert all(failure.keys() == {"filename", "error", "message"} for failure in results["failed"])
    assert await count_of(alice) == 2
    assert len(await stored_keys(alice.id)) == 4


async def test_when_all_fail_it_says_so(alice: Person, session: dict[str, Any]) -> None:
    answer = await send(alice.laptop, session["id"], ("a.txt", b"a"), ("b.txt", b"b"))
    assert answer.status_code == 201
    assert answer.json()["results"]["successful"] == []
    assert [failure["filename"] for failure in answer.json()["results"]["failed"]] == ["a.txt", "b.txt"]
    assert answer.headers["X-Sync-Cursor"] == await alice.position()


async def test_names_of_files_are_echoed_and_do_no_harm(alice: Person, session: dict[str, Any]) -> None:
    names = {
        "../../etc/passwd": "passwd",
        "..\\\\..\\\\boot.ini": "boot.ini",
        "/etc/shadow": "shadow",
        "猫的照片.txt": "猫的照片.txt",
        "<script>alert(1)</script>": "script>",
        "%2e%2e%2f%00.png": "%2e%2e%2f%00.png",
        "x" * 300 + ".png": "x" * 251 + ".png",
        "con.txt": "con.txt",
    }
    parts = [file("images", name, b"no picture") for name in names]
    answer = await post_form(alice.laptop, BATCH, field("sessionId", session["id"]), *parts)
    assert answer.headers["Content-Type"] == "application/json"
    assert [failure["filename"] for failure in answer.json()["results"]["failed"]] == list(names.values())
    assert await stored_keys(alice.id) == []


async def test_names_never_become_part_of_a_key(alice: Person, session: dict[str, Any]) -> None:
    answer = await send(alice.laptop, session["id"], ("../../evil.png", picture()))
    image = answer.json()["results"]["successful"][0]
    assert await stored_keys(alice.id) == await keys_of(image)
    assert "evil" not in str(image)


async def test_one_to_ten_files_are_wanted(alice: Person, session: dict[str, Any]) -> None:
    for count in (0, 11):
        parts = [file("images", f"{number}.png", picture()) for number in range(count)]
        answer = await post_form(alice.laptop, BATCH, field("sessionId", session["id"]), *parts)
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["images"])
    wrong_field = await post_form(
        alice.laptop, BATCH, field("sessionId", session["id"]), file("image", "a.png", picture())
    )
    assert (wrong_field.status_code, list(wrong_field.json()["details"])) == (400, ["images"])
    assert await count_of(alice) == 0


async def test_a_bad_type_is_refused(alice: Person, session: dict[str, Any]) -> None:
    answer = await send(alice.laptop, session["id"], ("a.png", picture()), type="../x")
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["type"])
    assert await count_of(alice) == 0


async def test_a_body_that_is_no_form_is_refused(alice: Person, session: dict[str, Any]) -> None:
    answer = await alice.post(BATCH, {"sessionId": session["id"], "images": []})
    assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")


async def test_only_the_owner_of_a_session_puts_pictures_in_it(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    never = await send(mallory.laptop, "0" * 26, ("a.png", picture()))
    for session_id in (session["id"], "nonsense"):
        answer = await send(mallory.laptop, session_id, ("a.png", picture()))
        assert (answer.status_code, content_of(answer)) == (404, content_of(never))
    unsigned = await send(alice.laptop, session["id"], ("a.png", picture()), headers={"Authorization": ""})
    assert_signed_out(unsigned)
    assert await stored_keys(alice.id) == await stored_keys(mallory.id) == []


async def test_a_client_that_leaves_before_the_answer_leaves_whole_pictures(
    alice: Person, session: dict[str, Any]
) -> None:
    parts = [file("images", f"{number}.jpg", sample("photos/rocket.jpg")) for number in range(4)]
    body = form(field("sessionId", session["id"]), *parts)
    await send_and_leave(alice.laptop, BATCH, body, length=len(body))

    async def all_are_stored() -> bool:
        return await count_of(alice) == 4

    await until(all_are_stored)
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_batch_stores_each_picture_once(alice: Person, session: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "batch-1"}
    files = [("a.png", picture(colour="red")), ("b.txt", b"no picture"), ("c.png", picture(colour="red"))]
    first = await send(alice.laptop, session["id"], *files, headers=key)
    answers = await asyncio.gather(
        *(send(device, session["id"], *files, headers=key) for device in (alice.laptop, alice.phone) * 2)
    )
    for answer in answers:
        assert (answer.status_code, answer.json()) == (201, first.json())
    assert await count_of(alice) == 2
    assert len(await stored_keys(alice.id)) == 2, "they are the same picture"
    assert await inconsistencies([alice.id]) == []


async def test_other_files_under_the_same_key_are_refused(alice: Person, session: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "batch-1"}
    red, blue = ("red.png", picture(colour="red")), ("blue.png", picture(colour="blue"))
    await send(alice.laptop, session["id"], red, blue, headers=key)
    for files in ([red, red], [red], [blue, red], [red, ("other.png", blue[1])]):
        answer = await send(alice.laptop, session["id"], *files, headers=key)
        assert (answer.status_code, answer.json()["error"]) == (422, "idempotency_mismatch")
    assert await count_of(alice) == 2


async def test_a_bad_key_is_refused(alice: Person, session: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "two words"}
    answer = await send(alice.laptop, session["id"], ("a.png", picture()), headers=key)
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["Idempotency-Key"])
    assert await count_of(alice) == 0
