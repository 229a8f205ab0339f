"""DELETE /api/auth/me"""

import asyncio
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import httpx
import pytest
from redis.exceptions import ConnectionError
from websockets.exceptions import ConnectionClosed

from accounts.managers import STEP
from accounts.models import Device, User
from accounts.services import deletion, devices, sign_ins
from chats.services import trash
from chats.services.drafts import begin_draft, expect_draft
from media_store.services.images import Upload, import_image
from media_store.storage import get_storage
from nanobanana import job_broker, job_queue, job_worker, jobs
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import global_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import keys_of, lasting_keys_of, registration, sign_in
from tests.support.jobs import forget_all, until, until_done, working
from tests.support.people import PASSWORD, Person, picture

DELETIONS = global_key("deletions")
DAY = 86_400  # seconds


@pytest.fixture(autouse=True)
def _quick_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_broker, "FIRST_PAUSE", 10)
    monkeypatch.setattr(job_worker, "LONGEST_SLEEP", 20)


async def delete(person: Person, password: Any = PASSWORD) -> httpx.Response:
    return await person.laptop.delete("/api/auth/me", {"password": password})


async def fill(person: Person) -> None:
    """Give the account something of everything."""
    kept, trashed = await person.make_session("Kept"), await person.make_session("Trashed")
    image = await person.make_image(kept["id"], headers={"Idempotency-Key": "one"})
    await person.make_image(trashed["id"], picture(colour="navy"))
    for session in (kept, trashed):
        await person.make_message(session["id"], imageIds=[image["id"]])
        await person.make_message(session["id"])
    await person.delete(f"/api/sessions/{trashed['id']}")
    user = User(person.id, person.id)
    draft = await begin_draft(
        user=user, title="Draft", title_origin="person", created_at=now(), updated_at=now()
    )
    upload = Upload("a.png", 0, BytesIO(picture(colour="olive")))
    await import_image(
        user=user,
        session_id=draft.id,
        type="uploaded",
        upload=upload,
        created_at=now(),
        expect=partial(expect_draft, draft=draft),
    )
    await person.post("/api/auth/ws-ticket")


async def files_of(person: Person) -> list[str]:
    return [key async for key in get_storage().list(person.id)]


async def assert_gone(anybody: httpx.AsyncClient, person: Person) -> None:
    """Nothing is left but what a retry needs and what ends by itself, soon; the address is free."""
    remains = await keys_of(person.id)
    kinds = {key.split("}:")[1].partition(":")[0] for key in remains}
    assert kinds <= {"operation", "answer", "ticket", "verify", "reset"}
    assert all(0 < life <= DAY for life in remains.values())
    assert await files_of(person) == []
    assert await get_client().hexists(DELETIONS, person.id) is False
    for device in (person.laptop, person.phone):
        assert (await device.get("/api/auth/me")).json()["error"] == "token_invalid"
    assert (await sign_in(anybody, person)).status_code == 401
    assert (await anybody.post("/api/auth/register", json=registration(person.email))).status_code == 201


async def test_everything_is_gone_and_the_address_is_free(anybody: httpx.AsyncClient, alice: Person) -> None:
    await fill(alice)
    assert len(await lasting_keys_of(alice.id)) > 15
    assert len(await files_of(alice)) == 6
    answer = await delete(alice)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    await assert_gone(anybody, alice)


async def test_what_others_own_is_untouched(alice: Person, mallory: Person) -> None:
    await fill(alice)
    await fill(mallory)
    lasting, files = await lasting_keys_of(mallory.id), await files_of(mallory)
    await delete(alice)
    assert await lasting_keys_of(mallory.id) == lasting
    assert await files_of(mallory) == files
    assert (await mallory.phone.get("/api/sessions")).json()["pagination"]["total"] == 1


async def test_a_new_account_with_the_address_has_nothing_of_the_old_one(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await fill(alice)
    await delete(alice)
    again = (await anybody.post("/api/auth/register", json=registration(alice.email))).json()
    assert again["user"]["id"] != alice.id
    headers = {"Authorization": f"Bearer {again['token']}"}
    assert (await anybody.get("/api/sessions", headers=headers)).json()["sessions"] == []
    assert (await alice.laptop.get("/api/auth/me")).status_code == 401


async def test_every_socket_is_closed(alice: Person, mallory: Person) -> None:
    session_id = (await alice.make_session())["id"]
    await mallory.phone.listen((await mallory.make_session())["id"])
    for device in (alice.laptop, alice.phone):
        await device.listen(session_id)
    await delete(alice)
    for device in (alice.laptop, alice.phone):
        with pytest.raises(ConnectionClosed) as closed:
            await device.next_frame()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 4401
    assert await mallory.phone.heard() == []


@pytest.mark.parametrize(
    ("password", "status"),
    [("not the password", 401), ("", 400), (None, 400), (["x"], 400), (12345678, 400), ("x" * 129, 400)],
)
async def test_without_the_password_nothing_happens(alice: Person, password: Any, status: int) -> None:
    before = await lasting_keys_of(alice.id)
    assert (await delete(alice, password)).status_code == status
    assert await lasting_keys_of(alice.id) == before
    assert (await alice.phone.get("/api/auth/me")).status_code == 200


async def test_a_body_is_needed(alice: Person) -> None:
    answer = await alice.delete("/api/auth/me")
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"password"})


async def test_a_stranger_deletes_nobody(anybody: httpx.AsyncClient, alice: Person, mallory: Person) -> None:
    answer = await anybody.request("DELETE", "/api/auth/me", json={"password": PASSWORD})
    assert answer.status_code == 401
    await mallory.delete("/api/auth/me", {"password": PASSWORD, "id": alice.id, "userId": alice.id})
    assert (await alice.get("/api/auth/me")).status_code == 200


async def test_of_two_deletions_at_once_both_leave_nothing(anybody: httpx.AsyncClient, alice: Person) -> None:
    await alice.make_session()
    answers = await asyncio.gather(
        *[device.delete("/api/auth/me", {"password": PASSWORD}) for device in (alice.laptop, alice.phone)]
    )
    assert {answer.status_code for answer in answers} <= {200, 401}
    assert 200 in {answer.status_code for answer in answers}
    await assert_gone(anybody, alice)


async def test_signing_in_meanwhile_leaves_no_device_behind(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account goes between the check of the password and the storing of the new device."""
    check = sign_ins.verify_password

    async def check_and_be_overtaken(password: str, encoded: str | None) -> bool:
        is_right = await check(password, encoded)
        monkeypatch.setattr(sign_ins, "verify_password", check)
        assert (await delete(alice)).status_code == 200
        return is_right

    monkeypatch.setattr(sign_ins, "verify_password", check_and_be_overtaken)
    assert (await sign_in(anybody, alice)).status_code == 401
    await assert_gone(anybody, alice)


async def test_more_devices_than_go_at_once_leave_nothing(anybody: httpx.AsyncClient, alice: Person) -> None:
    for _ in range(3):
        async with unit_of_work(alice.id) as work:
            for _ in range(STEP // 2):
                Device.objects.create(work, Device(alice.id, new_id()))
    assert (await delete(alice)).status_code == 200
    await assert_gone(anybody, alice)


# ---- a deletion that breaks off
def breaking_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Have the next call of `name` fail as it does when Redis or the storage goes away."""
    original = getattr(owner, name)

    async def fail(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(owner, name, original)
        raise ConnectionError("broken off")

    monkeypatch.setattr(owner, name, fail)


STEPS: dict[str, tuple[Callable[[], tuple[object, str]], int]] = {
    "removing devices": (lambda: (devices, "remove_devices"), 503),
    "freeing the address": (lambda: (User.objects, "release_email"), 503),
    "telling the others": (lambda: (deletion.account_deleted, "asend"), 200),
    "removing messages": (lambda: (trash, "remove_messages"), 200),
    "removing files": (lambda: (get_storage(), "delete_prefix"), 200),
    "the end": (lambda: (User.objects, "end_deletion"), 200),
}


async def finish_deletions() -> None:
    """Have a worker do what was left to it."""
    await forget_all()  # what a periodic job does not find is not to be done
    async with working(deletion.finish_deletion, deletion.finish_deletions):
        await until(has_looked)
        await until_done()


async def has_looked() -> bool:
    return await get_client().hexists(job_queue.SCHEDULE, deletion.finish_deletions.name)


@pytest.mark.parametrize(("step", "status"), STEPS.values(), ids=STEPS.keys())
async def test_a_deletion_that_broke_off_is_finished_later(
    anybody: httpx.AsyncClient, alice: Person, step: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(alice)
    breaking_once(monkeypatch, *step())
    assert (await delete(alice)).status_code == status
    assert (await alice.phone.get("/api/auth/me")).status_code == 401
    assert await get_client().hget(DELETIONS, alice.id) == alice.email
    await finish_deletions()
    await assert_gone(anybody, alice)


async def test_a_deletion_that_could_not_begin_changes_nothing(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await lasting_keys_of(alice.id)
    breaking_once(monkeypatch, User.objects, "begin_deletion")
    assert (await delete(alice)).status_code == 503
    await finish_deletions()
    assert await lasting_keys_of(alice.id) == before
    assert (await alice.get("/api/auth/me")).status_code == 200


async def test_one_that_fails_again_does_not_stop_the_others(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (alice, mallory):
        await User.objects.begin_deletion(User(person.id, person.id, email=person.email))
    breaking_once(monkeypatch, get_storage(), "delete_prefix")
    await finish_deletions()  # one of them at the second try
    for person in (alice, mallory):
        await assert_gone(anybody, person)


async def test_an_address_taken_meanwhile_stays_with_its_new_owner(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking_once(monkeypatch, deletion.account_deleted, "asend")
    await delete(alice)
    newcomer = (await anybody.post("/api/auth/register", json=registration(alice.email))).json()["user"]
    await finish_deletions()
    assert await get_client().get(global_key("email", alice.email)) == newcomer["id"]
    assert (await sign_in(anybody, alice)).json()["user"]["id"] == newcomer["id"]


async def test_a_large_one_is_removed_behind_the_answer(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(alice)
    monkeypatch.setattr(jobs, "PATIENCE", 0)
    await forget_all()
    assert (await delete(alice)).status_code == 200
    assert (await alice.phone.get("/api/auth/me")).status_code == 401
    assert await files_of(alice) != []
    async with working(deletion.finish_deletion):
        await until_done()
    await assert_gone(anybody, alice)
