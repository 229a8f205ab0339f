"""`Idempotency-Key` on every write: the same answer, one effect, and nothing to read in Redis."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis.exceptions import ConnectionError

from accounts.tokens import read_access_token
from chats.services import sessions
from nanobanana import idempotency
from nanobanana.idempotency import ANSWER_LIFE, CLAIM_LIFE, AnswerManager, KeyedRequest, fingerprint_of
from nanobanana.redisdb import scripts
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.event_log import read_behind
from nanobanana.redisdb.keys import global_key, owner_key
from tests.accounts.conftest import bearer
from tests.accounts.mails import token_mailed_to
from tests.redisdb.support import full_memory
from tests.support.consistency import inconsistencies
from tests.support.limits import set_limits
from tests.support.operations import Operation, ids_of, operations
from tests.support.people import PASSWORD, PATIENCE, Device, Person, picture
from tests.support.web_server import serve_in_another_process

WRITES = [operation for operation in operations() if operation.takes_key]
AT_ONCE = [  # one of each kind: with a commit, with a read before it, with several, of strangers
    operation
    for operation in WRITES
    if operation.name
    in {"createSession", "deleteMessage", "uploadSeveralImages", "changePassword", "register", "renewTokens"}
]
SECRETS = ("token", "refreshToken", "ticket")
CATS = {"title": "Cats"}
_numbers = itertools.count(1)


def name_of(operation: Operation) -> str:
    return operation.name


def new_key() -> dict[str, str]:
    """A key that no test used before."""
    return {"Idempotency-Key": f"a-key-of-these-tests-{next(_numbers)}"}


def content(answer: httpx.Response) -> tuple[int, bytes, str | None]:
    """All that a repetition must answer again."""
    return answer.status_code, answer.content, answer.headers.get("X-Sync-Cursor")


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def is_replayed(answer: httpx.Response) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


async def request_of(operation: Operation, alice: Person) -> dict[str, Any]:
    """A request that succeeds."""
    ids = await ids_of(alice)
    if operation.name == "takeImageOutOfMessage":
        path = f"/api/messages/{ids['messageId']}/images"
        assert (await alice.post(path, {"imageId": ids["imageId"]})).is_success
    if operation.name == "completeDirectUpload":
        ids["uploadId"] = await put_directly(alice, ids["sessionId"])
    if operation.name == "restoreSession":
        assert (await alice.delete(f"/api/sessions/{ids['sessionId']}")).is_success
    if operation.name == "restoreRevisionOfMessage":
        assert (await alice.put(f"/api/messages/{ids['messageId']}", {"text": "Another"})).is_success
    request = operation.request(ids)
    if "json" in request:
        request["json"] |= {
            name: value
            for name, value in (await words_of(operation, alice)).items()
            if name in request["json"]
        }
    return request


async def put_directly(person: Person, session_id: str) -> str:
    """A direct upload whose bytes have come: its id."""
    content = picture()
    announced = {"sessionId": session_id, "mime": "image/png", "size": len(content)}
    upload = (await person.post("/api/images/uploads", announced)).json()["upload"]
    path = upload["url"].removeprefix("http://testserver")
    assert (await person.laptop.http.put(path, content=content, headers=upload["headers"])).is_success
    return upload["id"]


async def words_of(operation: Operation, alice: Person) -> dict[str, Any]:
    """What Alice knows and a made-up request does not."""
    words = {"email": alice.email, "currentPassword": PASSWORD, "password": PASSWORD}
    match operation.name:
        case "register":
            return words | {"email": f"newcomer-under-a-key{next(_numbers)}@example.com"}
        case "renewTokens":
            return {"refreshToken": alice.laptop.refresh_token}
        case "restoreRevisionOfMessage":
            return {"revision": 0}
        case "verifyAddress":
            return {"token": await token_mailed_to(alice.email, "verify-email")}
        case "resetPassword":
            await alice.laptop.http.post("/api/auth/password/forgot", json={"email": alice.email})
            return words | {"token": await token_mailed_to(alice.email, "reset-password")}
    return words


async def send(
    operation: Operation, device: Device, request: dict[str, Any], key: dict[str, str]
) -> httpx.Response:
    token = bearer(device.token) if operation.wants_token else {}
    return await device.http.request(**request, headers={**token, **key})


async def offset_of(person: Person) -> int:
    return (await read_behind(person.id, None)).head.offset


async def is_signed_in(person: Person) -> bool:
    return (await person.get("/api/auth/me")).is_success


async def answers_kept(user_id: str | None = None) -> dict[str, int]:
    """The keys of answers with their lives in milliseconds: of the user, or of nobody."""
    pattern = owner_key(user_id, "answer", "*") if user_id else global_key("answer", "*")
    client = get_client()
    return {key: await client.pttl(key) async for key in client.scan_iter(pattern, count=10_000)}


async def strings_of(user_id: str) -> str:
    """All strings that Redis has of a user, and all answers to strangers."""
    client = get_client()
    keys = [key async for key in client.scan_iter(owner_key(user_id, "*"), count=10_000, _type="string")]
    return "\n".join(await client.mget([*keys, *await answers_kept()]))


async def sessions_of(person: Person) -> int:
    return (await person.get("/api/sessions")).json()["pagination"]["total"]


# ---- every write
@pytest.mark.parametrize("operation", WRITES, ids=name_of)
async def test_a_repeated_write_is_answered_as_the_first_time(operation: Operation, alice: Person) -> None:
    request, key = await request_of(operation, alice), new_key()
    before = await answers_kept()
    first = await send(operation, alice.laptop, request, key)
    assert first.is_success, f"Teach `words_of` or `request_of` about {operation.name}: {first.text}"
    assert not is_replayed(first)
    kept = {**await answers_kept(alice.id), **await answers_kept()}
    [life] = [kept[name] for name in kept.keys() - before.keys()]
    assert ANSWER_LIFE - 60_000 < life <= ANSWER_LIFE
    offset = await offset_of(alice)
    again = await send(operation, alice.laptop, request, key)
    other = await send(operation, alice.laptop, {**request, "params": {"other": "1"}}, key)
    if operation.wants_token and not await is_signed_in(alice):  # the call ended the token it was made with
        assert (again.status_code, other.status_code) == (401, 401)
    else:
        assert (content(again), is_replayed(again)) == (content(first), True)
        assert said(other) == (422, "idempotency_mismatch")
    assert await offset_of(alice) == offset
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("operation", AT_ONCE, ids=name_of)
async def test_of_three_at_the_same_time_one_acts(operation: Operation, alice: Person) -> None:
    request, key = await request_of(operation, alice), new_key()
    answers = await asyncio.gather(*(send(operation, alice.laptop, request, key) for _ in range(3)))
    [first] = [answer for answer in answers if answer.is_success and not is_replayed(answer)]
    for answer in answers:
        assert content(answer) == content(first) or answer.status_code in {401, 409}


@pytest.mark.parametrize(
    "name", ["register", "signIn", "renewTokens", "changePassword", "makeTicketForSocket"]
)
async def test_no_token_can_be_read_in_redis(name: str, alice: Person) -> None:
    [operation] = [each for each in WRITES if each.name == name]
    key = new_key()
    first = await send(operation, alice.laptop, await request_of(operation, alice), key)
    secrets = [first.json()[field] for field in SECRETS if field in first.json()]
    assert secrets
    stored = await strings_of(alice.id)
    for secret in (*secrets, PASSWORD, key["Idempotency-Key"], '"headers"'):
        assert secret not in stored


# ---- what is the same request
async def test_another_body_form_address_or_method_is_another_request(alice: Person) -> None:
    session, other, key = await alice.make_session("One"), await alice.make_session("Two"), new_key()
    path = f"/api/sessions/{session['id']}"
    assert (await alice.put(path, CATS, headers=key)).is_success
    offset = await offset_of(alice)
    for method, address, body in (
        ("PUT", path, {"title": "Dogs"}),
        ("PUT", path, {**CATS, "more": 1}),
        ("PUT", f"{path}?more=1", CATS),
        ("PUT", f"/api/sessions/{other['id']}", CATS),
        ("DELETE", path, CATS),
        ("POST", "/api/sessions", CATS),
    ):
        answer = await alice.laptop.request(method, address, json=body, headers=key)
        assert said(answer) == (422, "idempotency_mismatch"), address
    assert await offset_of(alice) == offset


async def test_the_boundary_of_a_form_and_the_order_of_its_fields_do_not_matter(alice: Person) -> None:
    session, key = await alice.make_session(), new_key()
    data = {"sessionId": session["id"], "type": "uploaded"}
    path, files = "/api/images/upload", {"image": ("picture", picture())}
    first = await alice.laptop.request("POST", path, files=files, data=data, headers=key)
    turned = dict(reversed(data.items()))
    again = await alice.laptop.request("POST", path, files=files, data=turned, headers=key)
    assert first.request.headers["Content-Type"] != again.request.headers["Content-Type"]
    assert content(again) == content(first)
    assert is_replayed(again)
    for other in ({"image": ("another name", picture())}, {"image": ("picture", picture(colour="red"))}):
        answer = await alice.laptop.request("POST", path, files=other, data=data, headers=key)
        assert said(answer) == (422, "idempotency_mismatch")


async def test_another_device_of_the_user_may_repeat(alice: Person) -> None:
    key = new_key()
    first = await alice.laptop.post("/api/sessions", CATS, headers=key)
    assert content(await alice.phone.post("/api/sessions", CATS, headers=key)) == content(first)


async def test_what_is_done_to_one_device_is_not_taken_for_done_to_another(alice: Person) -> None:
    key = new_key()
    ticket = await alice.laptop.post("/api/auth/ws-ticket", headers=key)
    assert content(await alice.laptop.post("/api/auth/ws-ticket", headers=key)) == content(ticket)
    assert said(await alice.phone.post("/api/auth/ws-ticket", headers=key)) == (422, "idempotency_mismatch")


async def test_a_key_of_somebody_else_is_another_key(alice: Person, mallory: Person) -> None:
    key = new_key()
    hers = await alice.post("/api/sessions", CATS, headers=key)
    other = await mallory.post("/api/sessions", CATS, headers=key)
    assert not is_replayed(other)
    assert other.json()["session"]["id"] != hers.json()["session"]["id"]


async def test_tokens_are_given_again_only_for_the_same_credentials(alice: Person, mallory: Person) -> None:
    key, path = new_key(), "/api/auth/refresh"
    first = await alice.post(path, headers=key)
    assert content(await alice.post(path, headers=key)) == content(first)
    for headers in ({}, bearer("nonsense"), bearer(mallory.laptop.token), bearer(alice.phone.token)):
        answer = await alice.laptop.http.post(path, headers={**headers, **key})
        assert said(answer) == (422, "idempotency_mismatch")
    key, body = new_key(), {"email": alice.email, "password": PASSWORD}
    assert (await alice.laptop.http.post("/api/auth/login", json=body, headers=key)).is_success
    guess = await alice.laptop.http.post("/api/auth/login", json=body | {"password": "x"}, headers=key)
    assert said(guess) == (422, "idempotency_mismatch")


async def test_a_stranger_s_key_is_of_one_address(alice: Person) -> None:
    key = new_key()
    body = {"email": alice.email, "password": PASSWORD}
    assert (await alice.laptop.http.post("/api/auth/login", json=body, headers=key)).is_success
    forgotten = await alice.laptop.http.post("/api/auth/password/forgot", json=body, headers=key)
    assert forgotten.is_success
    assert not is_replayed(forgotten)


async def test_who_repeats_must_still_be_signed_in_and_within_the_budget(
    alice: Person, settings: Any
) -> None:
    key = new_key()
    set_limits(settings, writes=2)
    answers = [await alice.phone.post("/api/sessions", CATS, headers=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[0].headers["RateLimit"] != answers[1].headers["RateLimit"]
    settings.RATE_LIMIT_MAX_REQUESTS = 0
    await alice.phone.post("/api/auth/logout")
    assert said(await alice.phone.post("/api/sessions", CATS, headers=key)) == (401, "token_invalid")


# ---- which keys
@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ключ".encode(), b"a\tb"])
@pytest.mark.parametrize("path", ["/api/auth/register", "/api/auth/ws-ticket", "/api/sessions"])
async def test_a_bad_key_is_refused(alice: Person, path: str, key: str | bytes) -> None:
    answer = await alice.post(path, headers={"Idempotency-Key": key})
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["Idempotency-Key"])


async def test_reads_and_unknown_addresses_take_no_notice_of_a_key(alice: Person) -> None:
    before = await answers_kept()
    for method, path, status in (("GET", "/api/sessions", 200), ("POST", "/nowhere", 404)):
        for key in (new_key()["Idempotency-Key"], "two words"):
            answer = await alice.laptop.request(method, path, headers={"Idempotency-Key": key})
            assert answer.status_code == status
    assert await answers_kept(alice.id) == {}
    assert (await answers_kept()).keys() == before.keys()


async def test_what_failed_may_be_tried_again(alice: Person) -> None:
    session, key = await alice.make_session(), new_key()
    path = f"/api/sessions/{session['id']}/messages"
    for body, status in (({"role": "nobody"}, 400), ({"role": "user", "imageIds": ["0" * 26]}, 404)):
        assert (await alice.post(path, body, headers=key)).status_code == status
        assert await answers_kept(alice.id) == {}
    assert (await alice.post(path, {"role": "user", "text": "Hi"}, headers=key)).status_code == 201


# ---- under way
@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """No session is created before it is open."""
    gate, create = asyncio.Event(), sessions.create_session

    async def create_behind_the_gate(**arguments: Any) -> Any:
        await gate.wait()
        return await create(**arguments)

    monkeypatch.setattr(sessions, "create_session", create_behind_the_gate)
    yield gate
    gate.set()


async def begin(person: Person, key: dict[str, str]) -> asyncio.Task[httpx.Response]:
    """A request that has claimed its key and now stands at the gate."""
    task = asyncio.create_task(person.post("/api/sessions", CATS, headers=key))
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not await answers_kept(person.id):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    return task


async def claim_of_the_dead(person: Person, key: dict[str, str]) -> None:
    """What a process leaves that is killed in the middle of a request."""
    fingerprint = fingerprint_of(b"POST", b"/api/sessions", b"", b'{"title":"Cats"}')
    dead = KeyedRequest(key["Idempotency-Key"], fingerprint, "/api/sessions", person.id)
    await AnswerManager(dead).claim()


async def test_a_request_under_way_is_not_begun_again(alice: Person, gate: asyncio.Event) -> None:
    key = new_key()
    first = await begin(alice, key)
    [life] = (await answers_kept(alice.id)).values()
    assert 0 < life <= CLAIM_LIFE
    for _ in range(2):
        again = await alice.phone.post("/api/sessions", CATS, headers=key)
        assert (*said(again), again.headers["Retry-After"]) == (409, "request_in_flight", "1")
    other = await alice.phone.post("/api/sessions", {"title": "Dogs"}, headers=key)
    assert said(other) == (422, "idempotency_mismatch")
    gate.set()
    assert (await first).status_code == 201
    assert content(await alice.post("/api/sessions", CATS, headers=key)) == content(await first)
    assert await sessions_of(alice) == 1


async def test_a_long_request_keeps_its_claim(
    alice: Person, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "CLAIM_LIFE", 300)
    key = new_key()
    first = await begin(alice, key)
    await asyncio.sleep(0.8)
    assert said(await alice.phone.post("/api/sessions", CATS, headers=key)) == (409, "request_in_flight")
    gate.set()
    assert (await first).status_code == 201
    assert is_replayed(await alice.post("/api/sessions", CATS, headers=key))


async def test_the_claim_of_a_dead_process_ends_by_itself(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "CLAIM_LIFE", 300)
    key = new_key()
    await claim_of_the_dead(alice, key)
    assert said(await alice.post("/api/sessions", CATS, headers=key)) == (409, "request_in_flight")
    await asyncio.sleep(0.35)
    assert (await alice.post("/api/sessions", CATS, headers=key)).status_code == 201


async def test_who_lost_the_claim_leaves_the_key_alone(alice: Person, gate: asyncio.Event) -> None:
    key = new_key()
    first = await begin(alice, key)
    [name] = await answers_kept(alice.id)
    await get_client().unlink(name)
    await claim_of_the_dead(alice, key)
    claim = await get_client().get(name)
    gate.set()
    assert (await first).status_code == 201
    assert await get_client().get(name) == claim


async def test_twenty_at_once_at_two_processes_have_one_effect(alice: Person) -> None:
    key = new_key()
    async with serve_in_another_process() as other:
        path = f"{other.url}/api/sessions"
        places = ["/api/sessions", path] * 10
        answers = await asyncio.gather(*(alice.post(place, CATS, headers=key) for place in places))
        made = await alice.post(path, CATS, headers=key)
    assert (made.status_code, is_replayed(made)) == (201, True)
    for answer in answers:
        assert content(answer) == content(made) or said(answer) == (409, "request_in_flight")
    assert await sessions_of(alice) == 1


# ---- what can go wrong
@pytest.mark.parametrize("garbage", [b"", b"garbage", b"\xff\xfe\x00", b"gAAAAA" + b"x" * 90])
async def test_garbage_counts_as_nothing(alice: Person, garbage: bytes) -> None:
    key = new_key()
    await claim_of_the_dead(alice, key)
    [name] = await answers_kept(alice.id)
    await get_client().set(name, garbage)
    first = await alice.post("/api/sessions", CATS, headers=key)
    assert (first.status_code, is_replayed(first)) == (201, False)
    assert content(await alice.post("/api/sessions", CATS, headers=key)) == content(first)
    assert await sessions_of(alice) == 1


async def test_an_answer_is_read_while_the_secret_changes_over_and_not_after(
    alice: Person, settings: Any
) -> None:
    key, before = new_key(), settings.JWT_SECRET
    first = await alice.post("/api/sessions", CATS, headers=key)
    settings.JWT_SECRET, settings.JWT_SECRET_PREVIOUS = "the next secret, which is as long as it", before
    again = await alice.post("/api/sessions", CATS, headers=key)
    assert (content(again), is_replayed(again)) == (content(first), True)
    settings.JWT_SECRET_PREVIOUS = ""
    again = await alice.post("/api/sessions", CATS, headers=key)
    assert (content(again), is_replayed(again)) == (content(first), False)  # the commit knows it still
    assert await sessions_of(alice) == 1


async def test_nobody_gets_the_answer_of_another_by_moving_it_in_redis(
    alice: Person, mallory: Person
) -> None:
    key = new_key()
    await alice.post("/api/sessions", CATS, headers=key)
    await mallory.post("/api/sessions", CATS, headers=key)
    [hers], [other] = await answers_kept(alice.id), await answers_kept(mallory.id)
    await get_client().copy(hers, other, replace=True)
    again = await mallory.post("/api/sessions", CATS, headers=key)
    assert again.json()["session"]["userId"] == mallory.id


async def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    alice: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise ConnectionError("Redis is gone.")

    key = new_key()
    with monkeypatch.context() as patch:
        patch.setattr(scripts, "replace_value", fail)
        first = await alice.post("/api/sessions", CATS, headers=key)
        refused = await alice.post("/api/sessions", {"title": 7}, headers=new_key())
    assert (first.status_code, refused.status_code) == (201, 400)
    assert "was not kept: Redis is gone." in caplog.text
    assert said(await alice.post("/api/sessions", CATS, headers=key)) == (409, "request_in_flight")
    await forget_answers(alice)
    assert content(await alice.post("/api/sessions", CATS, headers=key)) == content(first)
    assert await sessions_of(alice) == 1


async def forget_answers(person: Person) -> None:
    """As a process that dies between its commit and its answer, once the claim has ended."""
    await get_client().unlink(*await answers_kept(person.id))


@pytest.mark.parametrize(
    "path",
    [
        "/api/sessions/{sessionId}",
        "/api/messages/{messageId}",
        "/api/messages/{messageId}/images/{imageId}",
        "/api/images/{imageId}",
        "/api/auth/devices/{deviceId}",
    ],
)
async def test_a_deletion_whose_process_died_is_known_by_its_commit(alice: Person, path: str) -> None:
    ids, key = await ids_of(alice), new_key()
    ids["deviceId"] = read_access_token(alice.phone.token).device_id
    if "messages" in path and "images" in path:
        await alice.post(f"/api/messages/{ids['messageId']}/images", {"imageId": ids["imageId"]})
    first = await alice.delete(path.format(**ids), headers=key)
    assert first.is_success
    await forget_answers(alice)
    offset = await offset_of(alice)
    again = await alice.delete(path.format(**ids), headers=key)
    assert (again.status_code, again.json()["message"]) == (first.status_code, first.json()["message"])
    assert await offset_of(alice) == offset
    await forget_answers(alice)
    other = await alice.delete(f"{path.format(**ids)}?more=1", headers=key)
    assert said(other) == (422, "idempotency_mismatch")
    assert (await alice.delete(path.format(**ids))).status_code == 404


async def test_when_redis_is_full_a_deletion_goes_without_a_key(alice: Person) -> None:
    path = f"/api/sessions/{(await alice.make_session())['id']}"
    async with full_memory():
        assert said(await alice.delete(path, headers=new_key())) == (507, "storage_full")
    assert await sessions_of(alice) == 1
