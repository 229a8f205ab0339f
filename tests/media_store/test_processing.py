"""Files over PROCESS_IN_BACKGROUND_ABOVE: answered at once, decoded by a worker."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from media_store import decoding
from media_store.models import Image
from media_store.services import processing
from media_store.services.processing import check_pictures, prepare_picture
from media_store.storage import get_storage
from nanobanana import job_broker, job_worker
from nanobanana.redisdb.client import get_client
from tests.media_store.pictures import png_chunk, png_header, sample
from tests.media_store.uploads import keys_of, stored_keys
from tests.support import toy_jobs
from tests.support.consistency import inconsistencies
from tests.support.jobs import forget_all, toys_in_another_process, until, until_done, working
from tests.support.people import Person

ROCKET = "photos/rocket.jpg"
BROKEN = png_header(60, 40) + png_chunk(b"IDAT", b"no pixels") + png_chunk(b"IEND", b"")


@pytest.fixture(autouse=True)
async def _everything_is_large(
    alice: Person, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    settings.PROCESS_IN_BACKGROUND_ABOVE = 1
    monkeypatch.setattr(job_worker, "LONGEST_SLEEP", 20)
    monkeypatch.setattr(job_broker, "FIRST_PAUSE", 10)
    monkeypatch.setattr(job_broker, "LONGEST_PAUSE", 20)
    await forget_all()
    yield
    await forget_all()


@pytest.fixture
async def session(alice: Person) -> dict[str, Any]:
    return await alice.make_session()


async def upload(person: Person, session: dict[str, Any], content: bytes | None = None) -> dict[str, Any]:
    answer = await person.upload(session["id"], sample(ROCKET) if content is None else content)
    assert answer.status_code == 201
    return answer.json()["image"]


async def look(person: Person, image: dict[str, Any]) -> dict[str, Any]:
    return (await person.get(f"/api/images/{image['id']}")).json()["image"]


async def process() -> None:
    """Have a worker do all that waits."""
    async with working(prepare_picture):
        await until_done()


async def test_it_is_answered_at_once_and_ready_later(
    alice: Person, session: dict[str, Any], settings: Any
) -> None:
    await alice.phone.listen(session["id"])
    image = await upload(alice, session)
    assert (image["status"], image["reason"]) == ("processing", None)
    assert (image["blurhash"], image["dominantColor"]) == (None, None)
    assert await stored_keys(alice.id) == await keys_of(image, "original")
    await process()
    settings.PROCESS_IN_BACKGROUND_ABOVE = 10**9
    at_once = await upload(alice, await alice.make_session(), sample(ROCKET) + b"\0")
    ready = await look(alice, image)
    assert (ready["status"], ready["reason"], at_once["status"]) == ("ready", None, "ready")
    for name in ("blurhash", "dominantColor", "mime", "width", "height", "sha256", "size"):
        assert ready[name] == at_once[name], name
    created, updated = [frame for frame in await alice.phone.heard() if "image" in frame["payload"]]
    assert (created["type"], created["payload"]["image"]["status"]) == ("image_created", "processing")
    assert (updated["type"], updated["payload"]) == ("image_updated", {"image": ready})
    assert await inconsistencies([alice.id]) == []


async def test_all_sizes_are_made_behind_the_answer(alice: Person, session: dict[str, Any]) -> None:
    image = await upload(alice, session)
    await process()
    assert await stored_keys(alice.id) == await keys_of(image, "original", *image["variants"])


async def test_its_addresses_are_good_meanwhile(alice: Person, session: dict[str, Any]) -> None:
    image = await upload(alice, session)
    for url in (image["path"], image["thumbPath"], image["displayPath"]):
        answer = await alice.laptop.http.get(url.removeprefix("http://testserver"))
        assert answer.status_code == 200
    assert await inconsistencies([alice.id]) == []
    await process()
    assert (await look(alice, image))["status"] == "ready"
    assert await inconsistencies([alice.id]) == []


async def test_a_smaller_one_is_ready_at_once(alice: Person, session: dict[str, Any], settings: Any) -> None:
    settings.PROCESS_IN_BACKGROUND_ABOVE = len(sample(ROCKET))
    assert (await upload(alice, session))["status"] == "ready"


async def test_a_message_shows_it_meanwhile(alice: Person, session: dict[str, Any]) -> None:
    image = await upload(alice, session)
    message = await alice.make_message(session["id"], imageIds=[image["id"]])
    path = f"/api/messages/{message['id']}"
    statuses = [(await alice.get(path)).json()["message"]["images"][0]["status"]]
    await process()
    statuses.append((await alice.get(path)).json()["message"]["images"][0]["status"])
    assert statuses == ["processing", "ready"]
    assert await inconsistencies([alice.id]) == []


async def test_several_at_once_are_processed(alice: Person, session: dict[str, Any]) -> None:
    files = [("images", ("picture", sample(ROCKET) + bytes(number))) for number in range(3)]
    answer = await alice.laptop.request(
        "POST", "/api/images/upload/batch", files=files, data={"sessionId": session["id"]}
    )
    images = answer.json()["results"]["successful"]
    assert [image["status"] for image in images] == 3 * ["processing"]
    await process()
    assert [(await look(alice, image))["status"] for image in images] == 3 * ["ready"]
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"no picture", 415), (png_header(13_000, 13_000) + png_chunk(b"IDAT", b""), 413), (b"", 415)],
)
async def test_what_its_header_forbids_is_refused_at_once(
    alice: Person, session: dict[str, Any], content: bytes, status: int
) -> None:
    assert (await alice.upload(session["id"], content)).status_code in {status, 400}
    assert await stored_keys(alice.id) == []


async def test_a_repeated_request_is_one_picture(alice: Person, session: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "once"}
    answers = [await alice.upload(session["id"], sample(ROCKET), headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    await process()
    assert len((await alice.get("/api/images/user/all")).json()["images"]) == 1


# ---- failing
async def test_pixels_that_cannot_be_read_are_a_visible_failure(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.phone.listen(session["id"])
    image = await upload(alice, session, BROKEN)
    assert image["status"] == "processing"
    await process()
    failed = await look(alice, image)
    assert failed["status"] == "failed"
    assert failed["reason"] == "The picture is damaged and cannot be read."
    assert [frame["type"] for frame in await alice.phone.heard()] == ["image_created", "image_updated"]
    monkeypatch.delattr(decoding, "make_variant")  # it is not tried again
    thumb = await alice.phone.http.get(image["thumbPath"].removeprefix("http://testserver"))
    assert (thumb.status_code, thumb.json()["message"]) == (422, failed["reason"])
    assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_what_fails_again_and_again_is_a_visible_failure(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(file: Any) -> None:
        raise RuntimeError("a bug")

    image = await upload(alice, session)
    monkeypatch.setattr(decoding, "look", fail)
    monkeypatch.setattr(prepare_picture, "retries", 1)
    await process()
    failed = await look(alice, image)
    assert (failed["status"], failed["reason"]) == ("failed", processing.GIVEN_UP)


async def test_what_fails_once_is_tried_again(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = decoding.look

    async def fail_once(file: Any) -> None:
        monkeypatch.setattr(decoding, "look", prepare)
        raise RuntimeError("for once")

    image = await upload(alice, session)
    monkeypatch.setattr(decoding, "look", fail_once)
    await process()
    assert (await look(alice, image))["status"] == "ready"


async def test_lost_bytes_are_a_visible_failure(alice: Person, session: dict[str, Any]) -> None:
    image = await upload(alice, session)
    await get_storage().delete_prefix(alice.id)
    await process()
    assert (await look(alice, image))["reason"] == processing.LOST


# ---- crashes, and what others do meanwhile
async def test_a_job_that_was_never_enqueued_is_found(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between the commit and the queue."""
    monkeypatch.setattr(processing, "OVERDUE", timedelta())
    image = await upload(alice, session)
    await forget_all()
    async with working(prepare_picture, check_pictures):

        async def is_ready() -> bool:
            return (await look(alice, image))["status"] == "ready"

        await until(is_ready)


async def test_a_killed_worker_s_picture_is_processed_by_another_once(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_jobs.be_quick(monkeypatch.setattr)
    client = get_client()
    await client.delete(toy_jobs.STARTS)
    await client.set("toy:hang", 1)
    await alice.phone.listen(session["id"])
    async with toys_in_another_process() as killed:
        image = await upload(alice, session)
        await until(lambda: client.llen(toy_jobs.STARTS))
        killed.send_signal(signal.SIGKILL)
    await client.delete("toy:hang")
    await process()
    assert (await look(alice, image))["status"] == "ready"
    assert await alice.phone.heard_types(at_least=2) == ["image_created", "image_updated"]
    assert await inconsistencies([alice.id]) == []


async def test_done_twice_at_once_it_is_told_once(alice: Person, session: dict[str, Any]) -> None:
    await alice.phone.listen(session["id"])
    image = await upload(alice, session)
    both = [prepare_picture(user_id=alice.id, image_id=image["id"]) for _ in range(2)]
    await asyncio.gather(*both)
    await prepare_picture(user_id=alice.id, image_id=image["id"])
    assert await alice.phone.heard_types() == ["image_created", "image_updated"]


async def test_deleted_meanwhile_it_leaves_nothing(alice: Person, session: dict[str, Any]) -> None:
    image = await upload(alice, session)
    assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
    await process()
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_deleted_while_it_is_decoded_it_leaves_nothing(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = decoding.look

    async def prepare_and_be_overtaken(file: Any) -> Any:
        picture = await prepare(file)
        assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
        return picture

    image = await upload(alice, session)
    monkeypatch.setattr(decoding, "look", prepare_and_be_overtaken)
    await process()
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_deletion_is_not_refused_for_what_a_worker_does_meanwhile(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await upload(alice, session)
    aget = Image.objects.aget

    async def read_and_be_overtaken(user_id: str, image_id: str) -> Image:
        monkeypatch.setattr(Image.objects, "aget", aget)
        found = await aget(user_id, image_id)
        await prepare_picture(user_id=user_id, image_id=image_id)
        return found

    monkeypatch.setattr(Image.objects, "aget", read_and_be_overtaken)
    assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


# ---- the same content several times
async def test_two_of_the_same_content_share_their_bytes(alice: Person, session: dict[str, Any]) -> None:
    images = [await upload(alice, session) for _ in range(2)]
    await process()
    for image in images:
        assert (await look(alice, image))["status"] == "ready"
    assert len(await keys_of(images[0], "original")) == 1
    assert await inconsistencies([alice.id]) == []


async def test_one_that_is_small_by_now_is_ready_at_once(
    alice: Person, session: dict[str, Any], settings: Any
) -> None:
    first = await upload(alice, session)
    settings.PROCESS_IN_BACKGROUND_ABOVE = 10**9
    second = await upload(alice, session)
    assert second["status"] == "ready"
    assert await inconsistencies([alice.id]) == []
    await process()
    assert (await look(alice, first))["status"] == "ready"
    assert await inconsistencies([alice.id]) == []


async def test_a_stranger_learns_nothing_of_it(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    image = await upload(alice, session)
    await mallory.phone.listen((await mallory.make_session())["id"])
    await prepare_picture(user_id=mallory.id, image_id=image["id"])
    await process()
    assert (await mallory.get(f"/api/images/{image['id']}")).status_code == 404
    assert await mallory.phone.heard() == []
