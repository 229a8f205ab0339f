"""GET /api/auth/me/usage, and the quotas that it tells of."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from django.conf import settings

from media_store.managers import usage_key
from media_store.models import Image
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.media_store.pictures import wordy_picture
from tests.media_store.uploads import stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture
from tests.support.strangers import assert_signed_out

USAGE = "/api/auth/me/usage"
UPLOAD = "/api/images/upload"


async def usage_of(person: Person) -> dict[str, Any]:
    answer = await person.phone.get(USAGE)
    assert (answer.status_code, list(answer.json())) == (200, ["usage"])
    return answer.json()["usage"]


async def pictures_of(person: Person) -> tuple[int, int]:
    """How many pictures are counted, and their bytes."""
    usage = await usage_of(person)
    return usage["images"], usage["bytes"]


async def sizes_of(person: Person) -> list[int]:
    page = await Image.objects.alist(person.id, Window(100))
    return [image.size for image in page.objects]


async def test_who_has_nothing_uses_nothing(alice: Person) -> None:
    assert await usage_of(alice) == {
        "images": 0,
        "bytes": 0,
        "sessions": 0,
        "trashedSessions": 0,
        "messages": 0,
        "limits": {"images": None, "bytes": None},
    }


async def test_it_counts_what_there_is(
    alice: Person, mallory: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_BYTES", 10**9)
    archived, trashed = await alice.make_session(), await alice.make_session()
    images = [await alice.make_image(session["id"]) for _ in range(2)]
    await alice.make_message(session["id"], imageIds=[images[0]["id"]])
    await alice.make_message(trashed["id"])
    await alice.put(f"/api/sessions/{archived['id']}", {"archived": True})
    await alice.delete(f"/api/sessions/{trashed['id']}")
    assert await usage_of(alice) == {
        "images": 2,
        "bytes": sum(image["size"] for image in images),
        "sessions": 2,
        "trashedSessions": 1,
        "messages": 2,
        "limits": {"images": None, "bytes": 10**9},
    }
    assert await pictures_of(mallory) == (0, 0)


async def test_it_needs_a_token(alice: Person) -> None:
    assert_signed_out(await alice.laptop.http.get(USAGE))


async def test_deletions_of_every_kind_are_counted(alice: Person, session: dict[str, Any]) -> None:
    other = await alice.make_session()
    deleted, gone, kept = [await alice.make_image(session["id"]) for _ in range(3)]
    await alice.make_message(other["id"], imageIds=[kept["id"]])
    await alice.delete(f"/api/images/{deleted['id']}")
    await alice.delete(f"/api/images/{deleted['id']}")
    assert await pictures_of(alice) == (2, gone["size"] + kept["size"])
    await alice.delete(f"/api/sessions/{session['id']}?permanent=true")
    assert await pictures_of(alice) == (1, kept["size"])
    assert await inconsistencies([alice.id]) == []


async def test_a_copy_of_a_session_takes_no_room_and_an_import_does(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.post(f"/api/sessions/{session['id']}/duplicate")
    assert await pictures_of(alice) == (1, image["size"])
    archive = (await alice.get(f"/api/sessions/{session['id']}/export")).content
    files = {"archive": ("chats.zip", archive)}
    assert (await alice.laptop.request("POST", "/api/sessions/import", files=files)).status_code == 201
    assert await pictures_of(alice) == (2, 2 * image["size"])
    assert await inconsistencies([alice.id]) == []


async def test_a_picture_that_becomes_smaller_is_counted_so(alice: Person, session: dict[str, Any]) -> None:
    image = await Image.objects.aget(alice.id, (await alice.make_image(session["id"]))["id"])
    before = image.size
    async with unit_of_work(alice.id) as work:
        Image.objects.update(work, image, size=before - 10)
    assert await pictures_of(alice) == (1, before - 10)


async def test_the_checker_notices_a_wrong_count(alice: Person, session: dict[str, Any]) -> None:
    await alice.make_image(session["id"])
    await get_client().hincrby(usage_key(alice.id), "bytes", 1)
    [fault] = await inconsistencies([alice.id])
    assert "in bytes of" in fault


async def test_one_picture_too_many_is_refused_with_what_is_used(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_IMAGES", 1)
    await alice.make_image(session["id"])
    await alice.phone.listen(session["id"])
    answer = await alice.upload(session["id"], picture())
    assert (answer.status_code, answer.json()["error"]) == (409, "image_quota_exceeded")
    assert answer.json()["details"] == {"images": ["1 of 1 pictures are used."]}
    assert len(await sizes_of(alice)) == 1
    assert await alice.phone.heard() == []


async def test_bytes_too_many_are_refused_with_what_is_used(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (await alice.make_image(session["id"]))["size"]
    monkeypatch.setattr(settings, "QUOTA_BYTES", 2 * size)
    assert (await alice.upload(session["id"], picture(65))).status_code in {201, 413}
    answer = await alice.upload(session["id"], picture(640, 480))
    assert (answer.status_code, answer.json()["error"]) == (413, "byte_quota_exceeded")
    assert answer.json()["details"] == {
        "bytes": [f"{sum(await sizes_of(alice))} of {2 * size} bytes are used."]
    }


async def test_what_is_cut_out_of_a_picture_takes_no_room(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_BYTES", 10_000)
    image = await alice.make_image(session["id"], wordy_picture())
    assert (await pictures_of(alice)) == (1, image["size"])


async def test_one_that_never_fits_is_refused_with_its_own_figures(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"], wordy_picture())
    await alice.delete(f"/api/images/{image['id']}")
    size = image["size"]
    monkeypatch.setattr(settings, "QUOTA_BYTES", size - 1)
    answer = await alice.upload(session["id"], wordy_picture())
    assert (answer.status_code, answer.json()["message"]) == (
        413,
        f"0 of {size - 1} bytes are used, and this picture has {size}; it is too large.",
    )
    assert await stored_keys(alice.id) == []


async def test_where_no_byte_is_left_it_is_said_before_the_work(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (await alice.make_image(session["id"]))["size"]
    monkeypatch.setattr(settings, "QUOTA_BYTES", size)
    answer = await alice.upload(session["id"], b"no picture at all")
    assert (answer.status_code, answer.json()["message"]) == (
        413,
        f"{size} of {size} bytes are used; delete some first.",
    )


@pytest.mark.parametrize("quota", ["QUOTA_IMAGES", "QUOTA_BYTES"])
async def test_twenty_uploads_at_once_never_exceed_it(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch, quota: str
) -> None:
    content = picture()
    size = (await alice.make_image(session["id"], content))["size"]
    monkeypatch.setattr(settings, quota, 7 if quota == "QUOTA_IMAGES" else 7 * size + size // 2)
    answers = await asyncio.gather(*[alice.upload(session["id"], content) for _ in range(20)])
    refused = 409 if quota == "QUOTA_IMAGES" else 413
    assert Counter(answer.status_code for answer in answers) == {201: 6, refused: 14}
    assert await pictures_of(alice) == (7, 7 * size)
    assert len(await stored_keys(alice.id)) == 2, "they are all the same"
    assert await inconsistencies([alice.id]) == []


async def test_room_comes_back_with_a_deletion(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_IMAGES", 1)
    image = await alice.make_image(session["id"])
    await alice.delete(f"/api/images/{image['id']}")
    await alice.make_image(session["id"])


async def test_a_batch_takes_what_fits(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_IMAGES", 2)
    files = [("images", (f"{number}.png", picture(), "image/png")) for number in range(3)]
    answer = await alice.laptop.request(
        "POST", f"{UPLOAD}/batch", files=files, data={"sessionId": session["id"]}
    )
    results = answer.json()["results"]
    assert len(results["successful"]) == 2
    assert [failure["error"] for failure in results["failed"]] == ["image_quota_exceeded"]


@pytest.mark.parametrize(("quota", "status"), [("QUOTA_IMAGES", 409), ("QUOTA_BYTES", 413)])
async def test_an_import_that_does_not_fit_brings_nothing_in(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch, quota: str, status: int
) -> None:
    for colour in ("red", "green"):
        await alice.make_image(session["id"], picture(colour=colour))
    used = await pictures_of(alice)
    archive = (await alice.get(f"/api/sessions/{session['id']}/export")).content
    monkeypatch.setattr(settings, quota, 3 if quota == "QUOTA_IMAGES" else used[1] + used[1] // 2 + 1)
    files = {"archive": ("chats.zip", archive)}
    answer = await alice.laptop.request("POST", "/api/sessions/import", files=files)
    assert (answer.status_code, "used" in answer.json()["message"]) == (status, True)
    assert await pictures_of(alice) == used
    assert (await usage_of(alice))["sessions"] == 1
    assert await inconsistencies([alice.id]) == []


async def test_the_same_upload_again_is_answered_though_the_room_is_gone(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTA_IMAGES", 1)
    content, headers = picture(), {"Idempotency-Key": "once"}
    first = await alice.upload(session["id"], content, headers=headers)
    keys = [key async for key in get_client().scan_iter(f"nb:{{u:{alice.id}}}:answer:*")]
    await get_client().unlink(*keys)  # as if the process had died before it could keep the answer
    second = await alice.upload(session["id"], content, headers=headers)
    assert (second.status_code, second.json()["image"]["id"]) == (201, first.json()["image"]["id"])
