"""POST /api/images/upload"""

import asyncio
import hashlib
import os
import signal
from typing import Any

import pytest

from media_store import decoding
from media_store.metadata import strip
from media_store.models import Image
from media_store.storage import get_storage
from media_store.variants import THUMB
from nanobanana import asgi
from nanobanana.redisdb.client import SECONDS_TO_ANSWER
from nanobanana.redisdb.managers import Window
from tests.media_store.pictures import black_picture, corners, decode, encode, private_exif, sample
from tests.media_store.uploads import (
    field,
    file,
    form,
    keys_of,
    large_turn,
    post_form,
    send_and_leave,
    stored_keys,
    until,
)
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture
from tests.support.redis_server import RunningRedis
from tests.support.strangers import assert_signed_out, content_of

UPLOAD = "/api/images/upload"
TEN_MEGABYTES = 10 * 1024 * 1024


async def nothing_stored(*people: Person) -> bool:
    """Whether no picture of theirs left a record or bytes."""
    for person in people:
        page = await Image.objects.alist(person.id, Window(1))
        if page.total or await stored_keys(person.id):
            return False
    return True


async def test_it_answers_with_the_image_and_tells_the_devices_in_the_session(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    content = sample("photos/rocket.jpg")
    answer = await alice.upload(session["id"], content)
    assert answer.status_code == 201
    assert answer.json().keys() == {"message", "image"}
    image = answer.json()["image"]
    stored = await Image.objects.aget(alice.id, image["id"])
    assert image == {
        "id": stored.id,
        "sessionId": session["id"],
        "userId": alice.id,
        "type": "uploaded",
        "path": image["path"],
        "status": "ready",
        "reason": None,
        "thumbPath": image["thumbPath"],
        "displayPath": image["path"],
        "variants": {"thumb": image["thumbPath"], "small": image["variants"]["small"]},
        "blurhash": stored.blurhash,
        "dominantColor": stored.colour,
        "sha256": stored.sha256,
        "mime": "image/jpeg",
        "width": 640,
        "height": 427,
        "size": stored.size,
        "refCount": 0,
        "createdAt": image["createdAt"],
        "updatedAt": image["createdAt"],
    }
    original = strip(content, "image/jpeg")
    assert (stored.size, stored.sha256) == (len(original), hashlib.sha256(original).hexdigest())
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await inconsistencies([alice.id]) == []
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("image_created", {"image": image})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]


async def test_devices_elsewhere_hear_nothing(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    await alice.make_image(session["id"])
    assert await alice.phone.heard() == []


@pytest.mark.parametrize(
    ("name", "mime", "size"),
    [
        ("formats/hopper.png", "image/png", (128, 128)),
        ("formats/hopper.gif", "image/gif", (128, 128)),
        ("formats/hopper.webp", "image/webp", (128, 128)),
        ("formats/hopper.avif", "image/avif", (128, 128)),
        ("formats/frozenpond.mpo", "image/jpeg", (640, 480)),
        ("formats/pil_sample_cmyk.jpg", "image/jpeg", (100, 100)),
        ("formats/rocket.heic", "image/heic", (300, 200)),
    ],
)
async def test_the_type_comes_from_the_content_never_from_the_name(
    alice: Person, session: dict[str, Any], name: str, mime: str, size: tuple[int, int]
) -> None:
    files = {"image": ("report.pdf", sample(name), "application/pdf")}
    answer = await alice.laptop.request("POST", UPLOAD, files=files, data={"sessionId": session["id"]})
    image = answer.json()["image"]
    assert (image["mime"], (image["width"], image["height"])) == (mime, size)


async def test_the_thumbnail_is_small_upright_and_webp(alice: Person, session: dict[str, Any]) -> None:
    lying = encode(corners(800, 400), "JPEG", exif=private_exif(orientation=6))
    image = await alice.make_image(session["id"], lying)
    assert (image["width"], image["height"]) == (400, 800)
    thumbnail = decode((await alice.get(path_of(image["thumbPath"]))).content)
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (160, 320))
    red = thumbnail.getchannel("R").crop((140, 0, 160, 20))
    assert min(red.tobytes()) > 200  # what was top left before the picture was turned to the right
    assert not thumbnail.getexif()


def path_of(url: str) -> str:
    return url.removeprefix("http://testserver")


async def test_a_type_of_the_clients_own_is_kept(alice: Person, session: dict[str, Any]) -> None:
    for type in ("generated", "mask", "a", "style-reference_2", "x" * 32):
        image = await alice.make_image(session["id"], type=type)
        assert image["type"] == type
        assert (await Image.objects.aget(alice.id, image["id"])).type == type


async def test_a_type_that_is_no_short_word_is_refused(alice: Person, session: dict[str, Any]) -> None:
    for type in ("", "Generated", "a b", "a:b", "../x", "x" * 33, "1st", "ünïcode", "a\n", "{x}"):
        answer = await alice.upload(session["id"], picture(), type=type)
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["type"]), type
    assert await nothing_stored(alice)


async def test_exactly_one_file_in_the_right_field_is_wanted(alice: Person, session: dict[str, Any]) -> None:
    content = picture()
    for files in (
        [],
        [("picture", ("a.png", content))],
        [("images", ("a.png", content))],
        [("image", ("a.png", content)), ("image", ("b.png", content))],
    ):
        answer = await post_form(
            alice.laptop,
            UPLOAD,
            field("sessionId", session["id"]),
            *(file(name, filename, content) for name, (filename, content) in files),
        )
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["image"])
    as_text = await post_form(alice.laptop, UPLOAD, field("sessionId", session["id"]), field("image", "abc"))
    assert (as_text.status_code, list(as_text.json()["details"])) == (400, ["image"])
    assert await nothing_stored(alice)


async def test_the_session_must_be_named(alice: Person) -> None:
    for fields in ((), (field("sessionId", ""),), (field("session", "0" * 26),)):
        answer = await post_form(alice.laptop, UPLOAD, *fields, file("image", "a.png", picture()))
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["sessionId"])


async def test_a_body_that_is_no_form_is_refused(alice: Person, session: dict[str, Any]) -> None:
    as_json = await alice.post(UPLOAD, {"image": "…", "sessionId": session["id"]})
    as_fields = await alice.laptop.request("POST", UPLOAD, data={"sessionId": session["id"]})
    as_bytes = await alice.laptop.request(
        "POST", UPLOAD, content=picture(), headers={"Content-Type": "image/png"}
    )
    nothing = await alice.post(UPLOAD)
    for answer in (as_json, as_fields, as_bytes, nothing):
        assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")


async def test_a_broken_form_is_refused(alice: Person, session: dict[str, Any]) -> None:
    whole = form(field("sessionId", session["id"]), file("image", "a.png", picture()))
    for body, content_type in (
        (whole, "multipart/form-data"),
        (whole, "multipart/form-data; boundary="),
        (whole, "multipart/form-data; boundary=" + "x" * 300),
        (whole, "multipart/form-data; boundary=ключ"),
        (whole, "multipart/form-data; boundary=another"),
        (b"nonsense", "multipart/form-data; boundary=boundary"),
        (b"", "multipart/form-data; boundary=boundary"),
        (b"--boundary\r\n" * 1000, "multipart/form-data; boundary=boundary"),
        (form(*[field(f"{n}", "x") for n in range(1001)]), "multipart/form-data; boundary=boundary"),
        (form(*[file(f"{n}", "a", b"x") for n in range(101)]), "multipart/form-data; boundary=boundary"),
    ):
        headers = {"Content-Type": content_type.encode()}
        answer = await alice.laptop.request("POST", UPLOAD, content=body, headers=headers)
        assert answer.status_code == 400, (content_type, body[:50], answer.text)
        assert answer.json()["error"] in {"malformed_body", "validation_failed"}
    assert await nothing_stored(alice)


async def test_a_form_sent_in_chunks_is_taken(alice: Person, session: dict[str, Any]) -> None:
    """As clients send that do not know the length beforehand."""

    async def chunks() -> Any:
        body = form(field("sessionId", session["id"]), file("image", "a.png", picture()))
        for start in range(0, len(body), 50):
            yield body[start : start + 50]

    headers = {"Content-Type": "multipart/form-data; boundary=boundary"}
    answer = await alice.laptop.request("POST", UPLOAD, content=chunks(), headers=headers)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("token", ["nonsense", "refresh"])
async def test_strangers_cannot_fill_the_disk(
    alice: Person, session: dict[str, Any], token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large form is kept for somebody who shows a token of ours, and dropped for others."""
    monkeypatch.setattr(alice.laptop, "token", alice.laptop.refresh_token if token == "refresh" else token)
    written: list[int] = []
    spool = asgi._spool

    async def spool_and_tell(*arguments: Any) -> bool:
        is_complete = await spool(*arguments)
        written.append(arguments[2].tell())
        return is_complete

    monkeypatch.setattr(asgi, "_spool", spool_and_tell)
    answer = await alice.upload(session["id"], b"x" * TEN_MEGABYTES)
    assert answer.status_code == 401
    assert 0 < written[0] <= asgi.JSON_BODY
    assert await nothing_stored(alice)


async def test_what_is_no_picture_is_refused(alice: Person, session: dict[str, Any]) -> None:
    for content in (
        b"",
        b"hello, world",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!DOCTYPE html><script>alert(1)</script>",
        b"%PDF-1.7",
        b"MZ" + b"\0" * 100,
        sample("hostile/hopper.tif"),
        sample("hostile/hopper.psd"),
    ):
        answer = await alice.upload(session["id"], content)
        assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type"), content[:20]
    assert await nothing_stored(alice)


async def test_a_damaged_picture_is_refused(alice: Person, session: dict[str, Any]) -> None:
    for name in ("broken.png", "truncated_image.png", "truncated_jpeg.jpg", "broken_data_stream.png"):
        answer = await alice.upload(session["id"], sample(f"hostile/{name}"))
        assert (answer.status_code, answer.json()["error"]) == (422, "unreadable_picture"), name
    assert await nothing_stored(alice)


async def test_a_bomb_is_refused(alice: Person, session: dict[str, Any]) -> None:
    for content in (sample("hostile/decompression_bomb.gif"), black_picture(13_000, 13_000)):
        answer = await alice.upload(session["id"], content)
        assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert await nothing_stored(alice)


async def test_ten_megabytes_are_not_too_large_and_one_byte_more_is(
    alice: Person, session: dict[str, Any]
) -> None:
    largest = await alice.upload(session["id"], b"\0" * TEN_MEGABYTES)
    too_large = await alice.upload(session["id"], b"\0" * (TEN_MEGABYTES + 1))
    assert (largest.status_code, too_large.status_code) == (415, 413)
    assert too_large.json()["error"] == "payload_too_large"


async def test_the_limit_is_configurable(alice: Person, session: dict[str, Any], settings: Any) -> None:
    content = picture()
    settings.MAX_FILE_SIZE = len(content) - 1
    assert (await alice.upload(session["id"], content)).status_code == 413
    assert await nothing_stored(alice)
    settings.MAX_FILE_SIZE = len(content)
    assert (await alice.upload(session["id"], content)).status_code == 201


async def test_a_body_over_all_limits_is_not_read_to_its_end(
    alice: Person, session: dict[str, Any], settings: Any
) -> None:
    settings.MAX_FILE_SIZE = 1000
    answer = await alice.upload(session["id"], b"\0" * 200_000)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


async def test_only_the_owner_of_a_session_puts_pictures_in_it(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    never = await mallory.upload("0" * 26, picture())
    for session_id in (session["id"], session["id"].lower(), "nonsense", "*", "{u:1}:session"):
        answer = await mallory.upload(session_id, picture())
        assert (answer.status_code, content_of(answer)) == (404, content_of(never)), session_id
    assert_signed_out(await alice.upload(session["id"], picture(), headers={"Authorization": ""}))
    assert await nothing_stored(alice, mallory)


async def test_nothing_can_be_set_that_may_not_be_set(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    forged = {
        "id": "0" * 26,
        "userId": mallory.id,
        "mime": "text/html",
        "width": "1",
        "refCount": "7",
        "path": "https://example.com/",
        "createdAt": "2001-01-01T00:00:00.000Z",
    }
    fields = [field(name, value) for name, value in {"sessionId": session["id"], **forged}.items()]
    answer = await post_form(alice.laptop, UPLOAD, *fields, file("image", "a.png", picture()))
    image = answer.json()["image"]
    assert (image["userId"], image["mime"], image["width"], image["refCount"]) == (
        alice.id,
        "image/png",
        64,
        0,
    )
    assert image["id"] != forged["id"]
    assert image["path"].startswith("http://testserver/media/")


# ---- what goes wrong on the way
async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    alice: Person, session: dict[str, Any]
) -> None:
    body = form(field("sessionId", session["id"]), file("image", "a.png", picture() + b"\0" * 3_000_000))
    await send_and_leave(alice.laptop, UPLOAD, body[: len(body) // 2], length=len(body))
    assert (await alice.get("/health")).status_code == 200
    assert await nothing_stored(alice)


async def test_a_client_that_leaves_before_the_answer_leaves_all_or_nothing(
    alice: Person, session: dict[str, Any]
) -> None:
    body = form(field("sessionId", session["id"]), file("image", "a.jpg", sample("photos/rocket.jpg")))
    await send_and_leave(alice.laptop, UPLOAD, body, length=len(body))

    async def is_stored() -> bool:
        return (await Image.objects.alist(alice.id, Window(1))).total == 1

    await until(is_stored)
    assert await inconsistencies([alice.id]) == []


async def begin_upload(person: Person, session: dict[str, Any], **options: Any) -> asyncio.Task[Any]:
    """An upload that waits for its turn among large pictures."""
    room = decoding.pool.room
    upload = asyncio.create_task(person.upload(session["id"], black_picture(4000, 3100), **options))

    async def has_begun() -> bool:
        return decoding.pool.room < room

    await until(has_begun)
    return upload


async def test_a_session_deleted_meanwhile_gets_no_picture_and_no_bytes_stay(
    alice: Person, session: dict[str, Any]
) -> None:
    with large_turn():
        upload = await begin_upload(alice, session)
        await alice.phone.delete(f"/api/sessions/{session['id']}")
    answer = await upload
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert await nothing_stored(alice)
    assert await inconsistencies([alice.id]) == []


async def test_an_account_deleted_meanwhile_keeps_no_bytes(alice: Person, session: dict[str, Any]) -> None:
    with large_turn():
        upload = await begin_upload(alice, session)
        await alice.phone.delete("/api/auth/me", {"password": alice.password})
    assert (await upload).status_code in {401, 404}
    assert await nothing_stored(alice)


async def test_a_database_that_answers_too_late_leaves_no_record_without_its_bytes(
    alice: Person, session: dict[str, Any], redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is done after the request gave up: the bytes must be there all the same."""
    storage = get_storage()
    put = storage.put

    async def put_and_freeze(key: str, data: bytes) -> None:
        await put(key, data)
        if key.endswith(THUMB):
            os.kill(redis_server.pid, signal.SIGSTOP)

    monkeypatch.setattr(storage, "put", put_and_freeze)
    upload = asyncio.create_task(alice.upload(session["id"], picture()))
    try:
        await asyncio.sleep(SECONDS_TO_ANSWER + 1)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    answer = await upload
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert await inconsistencies([alice.id]) == []
    listed = (await alice.get("/api/images/user/all")).json()["images"]
    assert [image["sessionId"] for image in listed] == [session["id"]]


async def test_a_lost_database_is_told_and_the_upload_can_be_repeated(
    alice: Person, session: dict[str, Any], redis_server: RunningRedis
) -> None:
    with large_turn():
        upload = await begin_upload(alice, session)
        redis_server.kill()
    try:
        answer = await upload
    finally:
        redis_server.restart()
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"]
    await alice.make_image(session["id"], black_picture(4000, 3100))
    assert await inconsistencies([alice.id]) == []


# ---- repeated requests
async def test_a_repeated_upload_stores_one_picture(alice: Person, session: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "upload-1"}
    first = await alice.upload(session["id"], sample("photos/rocket.jpg"), headers=key)
    again = await alice.phone.upload(session["id"], sample("photos/rocket.jpg"), headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert (await Image.objects.alist(alice.id, Window(1))).total == 1
    assert len(await stored_keys(alice.id)) == 2


async def test_five_repetitions_at_once_store_one_picture(alice: Person, session: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "upload-1"}
    answers = await asyncio.gather(*(alice.upload(session["id"], picture(), headers=key) for _ in range(5)))
    stored = await alice.upload(session["id"], picture(), headers=key)
    assert stored.status_code == 201
    for answer in answers:
        assert answer.json() == stored.json() or answer.json()["error"] == "request_in_flight"
    assert len(await stored_keys(alice.id)) == 2
    assert await inconsistencies([alice.id]) == []


async def test_another_picture_session_or_type_under_the_same_key_is_refused(
    alice: Person, session: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": "upload-1"}
    first = await alice.make_image(session["id"], picture(colour="red"), headers=key)
    other = await alice.make_session()
    for session_id, content, type in (
        (session["id"], picture(colour="blue"), "uploaded"),
        (other["id"], picture(colour="red"), "uploaded"),
        (session["id"], picture(colour="red"), "generated"),
    ):
        answer = await alice.upload(session_id, content, type=type, headers=key)
        assert (answer.status_code, answer.json()["error"]) == (422, "idempotency_mismatch")
    assert await stored_keys(alice.id) == await keys_of(first)
