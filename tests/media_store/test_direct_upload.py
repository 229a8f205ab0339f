"""POST /api/images/uploads, PUT to where it says, POST /api/images/uploads/:id/complete"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings

from media_store.managers import NOTES
from media_store.metadata import strip
from media_store.models import DirectUpload, Image
from media_store.services import direct_uploads
from media_store.services.direct_uploads import exactly
from media_store.services.sweep import sweep_user
from media_store.storage import get_storage
from nanobanana.errors import UploadMismatch
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.ids import new_id
from tests.media_store.pictures import corners, encode, private_exif, wordy_picture
from tests.media_store.uploads import stored_keys, until
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture
from tests.support.strangers import assert_signed_out

UPLOADS = "/api/images/uploads"
PICTURE = picture()
COLOURS = ("purple", "red", "teal", "pink", "olive", "navy", "gold", "plum", "coral")
OTHER = next(
    other for colour in COLOURS if len(other := picture(colour=colour)) == len(PICTURE)
)  # as many bytes


def announced(session: dict[str, Any], content: bytes = PICTURE, **fields: Any) -> dict[str, Any]:
    return {"sessionId": session["id"], "mime": "image/png", "size": len(content), **fields}


async def begin(
    person: Person, session: dict[str, Any], content: bytes = PICTURE, **fields: Any
) -> dict[str, Any]:
    answer = await person.post(UPLOADS, announced(session, content, **fields))
    assert answer.status_code == 201, answer.text
    assert answer.json().keys() == {"message", "upload"}
    return answer.json()["upload"]


async def put(
    person: Person, upload: dict[str, Any], content: Any = PICTURE, **headers: str
) -> httpx.Response:
    """Without a token, as a browser does it."""
    path = upload["url"].removeprefix("http://testserver")
    return await person.laptop.http.put(path, content=content, headers={**upload["headers"], **headers})


async def complete(person: Person, upload: dict[str, Any], **headers: str) -> httpx.Response:
    return await person.post(f"{UPLOADS}/{upload['id']}/complete", headers=headers)


async def begun_and_put(
    person: Person, session: dict[str, Any], content: bytes = PICTURE, **fields: Any
) -> dict[str, Any]:
    upload = await begin(person, session, content, **fields)
    assert (await put(person, upload, content)).status_code == 200
    return upload


async def content_of(person: Person, image: dict[str, Any]) -> bytes:
    return (await person.get(f"/api/images/{image['id']}/content")).content


async def test_what_is_put_and_completed_is_a_picture_like_any_other(
    alice: Person, session: dict[str, Any]
) -> None:
    await alice.phone.listen(session["id"])
    upload = await begin(alice, session, type="generated", sha256=hashlib.sha256(PICTURE).hexdigest())
    assert (upload["method"], upload["headers"]) == ("PUT", {"Content-Type": "image/png"})
    assert (await put(alice, upload)).status_code == 200
    assert (await alice.get(f"/api/images/session/{session['id']}")).json()["images"] == []
    assert await alice.phone.heard() == []
    answer = await complete(alice, upload)
    assert (answer.status_code, answer.json().keys()) == (201, {"message", "image"})
    image = answer.json()["image"]
    assert (image["type"], image["mime"], image["width"]) == ("generated", "image/png", 64)
    assert await content_of(alice, image) == PICTURE
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("image_created", {"image": image})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]
    assert [key for key in await stored_keys(alice.id) if key.endswith("incoming")] == []
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    assert message["images"][0]["id"] == image["id"]
    assert await inconsistencies([alice.id]) == []


async def test_private_metadata_is_cut_out_before_there_is_a_picture(
    alice: Person, session: dict[str, Any]
) -> None:
    content = encode(corners(80, 40), "JPEG", exif=private_exif(orientation=6))
    upload = await begun_and_put(alice, session, content, mime="image/jpeg")
    image = (await complete(alice, upload)).json()["image"]
    assert await content_of(alice, image) == strip(content, "image/jpeg") != content
    assert (image["width"], image["height"]) == (40, 80)


async def test_completing_again_and_at_once_gives_the_same_picture(
    alice: Person, session: dict[str, Any]
) -> None:
    upload = await begun_and_put(alice, session)
    answers = await asyncio.gather(*[complete(alice, upload) for _ in range(5)])
    answers.append(await complete(alice, upload, **{"Idempotency-Key": "one"}))
    answers.append(await complete(alice, upload, **{"Idempotency-Key": "one"}))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["image"]["id"] for answer in answers}) == 1
    assert (await alice.get("/api/images/user/all")).json()["pagination"]["total"] == 1
    assert await inconsistencies([alice.id]) == []


async def test_a_completion_whose_answer_was_lost_is_recognised(
    alice: Person, session: dict[str, Any]
) -> None:
    upload, key = await begun_and_put(alice, session), {"Idempotency-Key": "lost"}
    first = await complete(alice, upload, **key)
    await get_client().unlink(*[each async for each in get_client().scan_iter(f"*{alice.id}*:answer:*")])
    assert (await complete(alice, upload, **key)).json()["image"]["id"] == first.json()["image"]["id"]


async def test_beginning_again_under_a_key_is_the_same_upload(
    alice: Person, session: dict[str, Any], settings: Any
) -> None:
    """Also when there is no room for another one meanwhile."""
    body, headers = announced(session), {"Idempotency-Key": "begin"}
    first = await alice.post(UPLOADS, body, headers=headers)
    await alice.make_image(session["id"])
    settings.QUOTA_IMAGES = 1
    await get_client().unlink(*[each async for each in get_client().scan_iter(f"*{alice.id}*:answer:*")])
    second = await alice.post(UPLOADS, body, headers=headers)
    assert second.json()["upload"]["id"] == first.json()["upload"]["id"]
    assert (await put(alice, second.json()["upload"])).status_code == 200


async def test_the_address_changes_no_picture_afterwards(alice: Person, session: dict[str, Any]) -> None:
    upload = await begun_and_put(alice, session)
    image = (await complete(alice, upload)).json()["image"]
    assert (await put(alice, upload, OTHER)).status_code == 409
    await get_storage().put(f"{alice.id}/{upload['id']}/incoming", OTHER)  # as a cloud would take it
    assert (await complete(alice, upload)).json()["image"]["sha256"] == image["sha256"]
    assert await content_of(alice, image) == PICTURE


async def test_it_can_be_put_again_before(alice: Person, session: dict[str, Any]) -> None:
    upload = await begun_and_put(alice, session)
    assert (await put(alice, upload, OTHER)).status_code == 200
    assert await content_of(alice, (await complete(alice, upload)).json()["image"]) == OTHER


async def test_before_the_bytes_are_there_it_is_incomplete(alice: Person, session: dict[str, Any]) -> None:
    upload = await begin(alice, session)
    answer = await complete(alice, upload)
    assert (answer.status_code, answer.json()["error"]) == (409, "upload_incomplete")
    await put(alice, upload)
    assert (await complete(alice, upload)).status_code == 201


@pytest.mark.parametrize("content", [PICTURE[:-1], PICTURE + b"x", b""], ids=["short", "long", "none"])
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_another_size_is_refused_while_it_comes(
    alice: Person, session: dict[str, Any], content: bytes, in_pieces: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in range(0, len(content), 50):
            yield content[byte : byte + 50]

    upload = await begin(alice, session)
    answer = await put(alice, upload, pieces() if in_pieces else content)
    assert (answer.status_code, answer.json()["error"]) == (422, "upload_mismatch")
    assert "size" in answer.json()["details"]
    await until(lambda: nothing_incoming(alice))
    assert (await complete(alice, upload)).json()["error"] == "upload_incomplete"


async def nothing_incoming(person: Person) -> bool:
    """No file of an upload is left, drafts included."""
    return not [path for path in (settings.MEDIA_DIR / person.id).rglob("*") if path.is_file()]


async def test_another_hash_is_refused_while_it_comes(alice: Person, session: dict[str, Any]) -> None:
    upload = await begin(alice, session, sha256=hashlib.sha256(PICTURE).hexdigest())
    answer = await put(alice, upload, OTHER)
    assert (answer.status_code, list(answer.json()["details"])) == (422, ["sha256"])
    await until(lambda: nothing_incoming(alice))


async def test_another_type_is_refused_when_it_is_said_and_when_it_is_seen(
    alice: Person, session: dict[str, Any]
) -> None:
    upload = await begun_and_put(alice, session, mime="image/jpeg")
    said = await put(alice, upload, PICTURE, **{"Content-Type": "image/png"})
    assert (said.status_code, list(said.json()["details"])) == (422, ["Content-Type"])
    seen = await complete(alice, upload)
    assert (seen.status_code, list(seen.json()["details"])) == (422, ["mime"])
    assert (await alice.get("/api/images/user/all")).json()["images"] == []
    assert await inconsistencies([alice.id]) == []


async def test_what_a_cloud_took_is_checked_when_it_is_completed(
    alice: Person, session: dict[str, Any]
) -> None:
    upload = await begin(alice, session, sha256=hashlib.sha256(PICTURE).hexdigest())
    key = f"{alice.id}/{upload['id']}/incoming"
    for content, field in ((PICTURE + b"x", "size"), (PICTURE[:-1], "size"), (OTHER, "sha256")):
        await get_storage().put(key, content)
        answer = await complete(alice, upload)
        assert (answer.status_code, list(answer.json()["details"])) == (422, [field])


async def test_what_is_no_picture_or_broken_is_refused_as_in_an_upload(
    alice: Person, session: dict[str, Any]
) -> None:
    nonsense = await begun_and_put(alice, session, b"no picture at all")
    assert (await complete(alice, nonsense)).json()["error"] == "unsupported_media_type"
    broken = await begun_and_put(alice, session, PICTURE[:60])
    assert (await complete(alice, broken)).json()["error"] == "unreadable_picture"


async def test_nobody_else_can_complete_it(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    upload = await begun_and_put(alice, session)
    strange = await complete(mallory, upload)
    absent = await complete(mallory, {"id": new_id()})
    malformed = await complete(mallory, {"id": "nonsense"})
    assert {answer.status_code for answer in (strange, absent, malformed)} == {404}
    assert strange.json()["message"] == absent.json()["message"]
    assert (await mallory.post(UPLOADS, announced(session))).status_code == 404
    assert_signed_out(await alice.laptop.http.post(UPLOADS, json=announced(session)))
    assert (await complete(alice, upload)).status_code == 201


@pytest.mark.parametrize("change", ["signature", "expiry", "owner", "upload"])
async def test_an_address_that_was_tampered_with_takes_nothing(
    alice: Person, mallory: Person, session: dict[str, Any], change: str
) -> None:
    upload, other = await begin(alice, session), await begin(alice, session)
    url = httpx.URL(upload["url"])
    tampered = {
        "signature": url.copy_set_param("s", "A" * 22),
        "expiry": url.copy_set_param("e", str(int(url.params["e"]) + 1)),
        "owner": str(url).replace(alice.id, mallory.id),
        "upload": str(url).replace(upload["id"], other["id"]),
    }[change]
    answer = await put(alice, {**upload, "url": str(tampered)})
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert await stored_keys(alice.id) == []


async def test_it_expires(alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DirectUpload, "life", 1000)
    upload = await begin(alice, session)
    await asyncio.sleep(1.1)
    assert (await put(alice, upload)).status_code in {403, 404}
    assert (await complete(alice, upload)).status_code == 404
    assert await inconsistencies([alice.id]) == []


async def test_who_leaves_in_the_middle_leaves_nothing(alice: Person, session: dict[str, Any]) -> None:
    upload = await begin(alice, session)
    url = httpx.URL(upload["url"])
    _, writer = await asyncio.open_connection("127.0.0.1", alice.laptop.server.port)
    head = (
        f"PUT {url.raw_path.decode()} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(PICTURE)}\r\n\r\n"
    )
    writer.write(head.encode() + PICTURE[:50])
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await until(lambda: nothing_incoming(alice))
    assert (await complete(alice, upload)).json()["error"] == "upload_incomplete"


@pytest.mark.parametrize(
    "wrong",
    [
        {"mime": "image/tiff"},
        {"size": 0},
        {"size": "many"},
        {"sha256": "A" * 64},
        {"type": "Not A Word"},
        {"size": None},
    ],
)
async def test_what_is_announced_has_to_make_sense(
    alice: Person, session: dict[str, Any], wrong: dict[str, Any]
) -> None:
    answer = await alice.post(UPLOADS, announced(session, **wrong))
    assert (answer.status_code, list(answer.json()["details"])) == (400, list(wrong))


async def test_too_large_is_said_before_the_first_byte(alice: Person, session: dict[str, Any]) -> None:
    answer = await alice.post(UPLOADS, announced(session, size=settings.MAX_FILE_SIZE + 1))
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


async def test_quotas_are_asked_at_the_beginning_and_decide_at_the_end(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_IMAGES", 1)
    first, second = await begun_and_put(alice, session), await begun_and_put(alice, session)
    answers = await asyncio.gather(complete(alice, first), complete(alice, second))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert (await alice.post(UPLOADS, announced(session))).json()["error"] == "image_quota_exceeded"
    assert (await alice.get("/api/auth/me/usage")).json()["usage"]["images"] == 1


async def test_what_is_cut_out_takes_no_room(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_BYTES", 10_000)
    upload = await begun_and_put(alice, session, wordy_picture())
    assert (await complete(alice, upload)).json()["image"]["size"] < 10_000


async def test_only_so_many_are_open_at_once(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_uploads, "OPEN_AT_ONCE", 2)
    upload = await begun_and_put(alice, session)
    await begin(alice, session)
    refused = await alice.post(UPLOADS, announced(session))
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    await complete(alice, upload)
    await begin(alice, session)


async def test_a_session_that_went_meanwhile_gets_none(alice: Person, session: dict[str, Any]) -> None:
    upload = await begun_and_put(alice, session)
    await alice.delete(f"/api/sessions/{session['id']}")
    assert (await complete(alice, upload)).status_code == 404
    assert (await Image.objects.acount(alice.id, "images")) == 0


async def test_the_account_takes_them_along(alice: Person, session: dict[str, Any]) -> None:
    upload = await begun_and_put(alice, session)
    assert (await alice.delete("/api/auth/me", {"password": alice.password})).status_code == 200
    assert await stored_keys(alice.id) == []
    assert await get_client().exists(DirectUpload(alice.id, upload["id"]).key) == 0
    assert (await put(alice, upload)).status_code == 404
    await until(lambda: nothing_incoming(alice))


async def test_a_put_that_is_overtaken_hears_by_what(alice: Person, session: dict[str, Any]) -> None:
    async def put_around(upload: dict[str, Any], happens: Callable[[], Awaitable[Any]]) -> httpx.Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield OTHER[:50]
            await until(lambda: has_draft(alice, upload))
            assert (await happens()).is_success
            yield OTHER[50:]

        return await put(alice, upload, pieces())

    upload = await begun_and_put(alice, session)
    completed = await put_around(upload, lambda: complete(alice, upload))
    assert (completed.status_code, completed.json()["error"]) == (409, "conflict")
    assert await content_of(alice, (await complete(alice, upload)).json()["image"]) == PICTURE
    left = await begin(alice, session)
    password = {"password": alice.password}
    deleted = await put_around(left, lambda: alice.delete("/api/auth/me", password))
    assert (deleted.status_code, deleted.json()["message"]) == (404, direct_uploads.NO_UPLOAD)
    await until(lambda: nothing_incoming(alice))


async def has_draft(person: Person, upload: dict[str, Any]) -> bool:
    return any((settings.MEDIA_DIR / person.id / upload["id"]).glob(".*"))


async def test_pages_of_the_front_end_may_put(alice: Person, session: dict[str, Any]) -> None:
    upload = await begin(alice, session)
    origin = {"Origin": settings.CORS_ORIGIN[0]}
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    path = upload["url"].removeprefix("http://testserver")
    async with httpx.AsyncClient(base_url=alice.laptop.server.url) as browser:
        answer = await browser.options(path, headers={**origin, **asked})
        assert answer.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        assert "content-type" in answer.headers["Access-Control-Allow-Headers"]


async def test_exactly_passes_on_what_is_right_and_reads_no_more_than_that() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"ab"

    taken: list[int] = []
    with pytest.raises(UploadMismatch):
        [chunk async for chunk in exactly(chunks(), 5)]
    assert taken == [0, 1, 2]


async def test_what_was_left_is_swept_with_its_drafts(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(DirectUpload, "life", 1)
        patch.setattr(direct_uploads, "LATER", timedelta())
        left = await begin(alice, session)
    kept = await begun_and_put(alice, session)
    place = settings.MEDIA_DIR / alice.id / left["id"]
    place.mkdir(parents=True)
    (place / ".draft").write_bytes(PICTURE)  # of a process that was killed
    await get_storage().put(f"{alice.id}/{left['id']}/incoming", PICTURE)
    noted = dict([entry async for entry in get_client().zscan_iter(NOTES.key)])
    assert float(noted[alice.id]) <= milliseconds(now()) + 1
    assert (await sweep_user(user_id=alice.id)).left_behind == 1
    assert not place.exists()
    assert await stored_keys(alice.id) == [f"{kept['id']}/incoming"]
    assert (await complete(alice, kept)).status_code == 201
    assert await inconsistencies([alice.id]) == []
