"""Redis away, stalled, full or a replica: a clear answer, nothing half done, and all is well afterwards."""

import asyncio
import os
import signal
from typing import Any

import httpx

from accounts.models import User
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from tests.support.outages import full, replica
from tests.support.people import PASSWORD, Person, picture
from tests.support.redis_server import RunningRedis

TOO_LONG = 10  # seconds; an answer comes within three, on a machine that has the time


def newcomer(person: Person) -> dict[str, str]:
    return {"email": f"friend-of-{person.email}", "username": "Newcomer", "password": PASSWORD}


async def every_kind_of_call(person: Person, session_id: str) -> list[httpx.Response]:
    """Reads, writes, sign-ins and uploads, all at once."""
    form: dict[str, Any] = {
        "files": {"image": ("picture", picture())},
        "data": {"sessionId": session_id, "type": "uploaded"},
    }
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/auth/me", {}),
        ("GET", "/api/sessions", {}),
        ("GET", f"/api/sessions/{session_id}/stats", {}),
        ("POST", "/api/auth/login", {"json": {"email": person.email, "password": PASSWORD}}),
        ("POST", "/api/auth/register", {"json": newcomer(person)}),
        ("POST", "/api/auth/refresh", {}),
        ("POST", "/api/auth/ws-ticket", {}),
        ("DELETE", "/api/auth/me", {"json": {"password": PASSWORD}}),
        ("POST", "/api/sessions", {"json": {"title": "Lost"}}),
        ("POST", f"/api/sessions/{session_id}/messages", {"json": {"role": "user", "text": "Lost"}}),
        ("PUT", "/api/auth/me", {"json": {"username": "Lost"}}),
        ("POST", "/api/images/upload", form),
    ]
    return await asyncio.gather(
        *[person.phone.request(method, path, timeout=TOO_LONG, **options) for method, path, options in calls]
    )


def assert_unavailable(answers: list[httpx.Response]) -> None:
    for answer in answers:
        asked = f"{answer.request.method} {answer.request.url.path}"
        assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable"), asked
        assert int(answer.headers["Retry-After"]) > 0
        assert "redis" not in answer.text.lower()


async def all_that_is_stored(person: Person) -> dict[str, Any]:
    """Every lasting key of the user with its content."""
    client, found = get_client(), {}
    async for key in client.scan_iter(owner_key(person.id, "*"), count=10_000):
        if ":operation:" not in key:
            found[key] = await content_of(key)
    return found


async def content_of(key: str) -> Any:
    client = get_client()
    match await client.type(key):
        case "hash":
            return await client.hgetall(key)
        case "zset":
            return await client.zrange(key, 0, -1, withscores=True)
        case "stream":
            return await client.xrange(key)
    return await client.get(key)


async def test_without_redis_every_call_says_so_and_recovers_with_it(
    alice: Person, redis_server: RunningRedis
) -> None:
    session_id = (await alice.make_session())["id"]
    before = await all_that_is_stored(alice)
    redis_server.kill()
    answers = await every_kind_of_call(alice, session_id)
    redis_server.restart()
    assert_unavailable(answers)
    assert await all_that_is_stored(alice) == before
    assert (await alice.phone.get("/api/auth/me")).status_code == 200
    assert (await alice.post("/api/sessions", {"title": "Found"})).status_code == 201


async def test_a_redis_that_is_back_before_the_patience_ends_is_not_noticed(
    alice: Person, redis_server: RunningRedis
) -> None:
    await alice.make_session()
    for _ in range(3):
        redis_server.kill()
        redis_server.restart()
        answers = await asyncio.gather(*[alice.get("/api/sessions") for _ in range(10)])
        assert {answer.status_code for answer in answers} == {200}
        assert (await alice.post("/api/auth/ws-ticket")).status_code == 200


async def test_a_redis_that_does_not_answer_holds_nobody_up(
    alice: Person, redis_server: RunningRedis
) -> None:
    session_id = (await alice.make_session())["id"]
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        answers = await every_kind_of_call(alice, session_id)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    assert_unavailable(answers)
    assert (await alice.laptop.get("/api/sessions")).status_code in {
        200,
        401,
    }  # the deletion may have arrived


async def test_a_full_redis_takes_no_more_and_loses_nothing(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    message_path = f"/api/messages/{(await alice.make_message(session_id, 'Kept'))['id']}"
    before = await all_that_is_stored(alice)
    async with full():
        answers = await every_kind_of_call(alice, session_id)
        changed = await alice.put(message_path, {"text": "Lost"})
        read = await alice.get(message_path)
    for answer in [*answers, changed]:
        asked = f"{answer.request.method} {answer.request.url.path}"
        if answer.request.method == "GET":
            assert answer.status_code == 200, asked
        else:
            assert (answer.status_code, answer.json()["error"]) == (507, "storage_full"), asked
            assert int(answer.headers["Retry-After"]) > 0
    assert read.json()["message"]["text"] == "Kept"
    assert await all_that_is_stored(alice) == before
    assert await get_client().exists(global_key("email", newcomer(alice)["email"])) == 0
    assert (await alice.laptop.post("/api/sessions", {"title": "Room again"})).status_code == 201


async def test_a_full_redis_still_lets_go(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    message = await alice.make_message(session_id)
    async with full():
        deleted = await alice.delete(f"/api/messages/{message['id']}")
        signed_out = await alice.phone.post("/api/auth/logout")
    assert (deleted.status_code, signed_out.status_code) == (200, 200)
    assert (await alice.get(f"/api/sessions/{session_id}")).json()["session"]["messageCount"] == 0
    assert (await alice.phone.get("/api/auth/me")).status_code == 401


async def test_a_replica_is_read_and_not_written(alice: Person, redis_server: RunningRedis) -> None:
    before = await all_that_is_stored(alice)
    async with replica():
        assert (await alice.get("/api/auth/me")).status_code == 200
        assert_unavailable(
            [
                await alice.post("/api/sessions", {"title": "Lost"}),
                await alice.put("/api/auth/me", {"username": "Lost"}),
                await alice.post("/api/auth/login", {"email": alice.email, "password": PASSWORD}),
                await alice.post("/api/auth/register", newcomer(alice)),
                await alice.delete("/api/auth/me", {"password": PASSWORD}),
            ]
        )
    assert await all_that_is_stored(alice) == before
    assert (await alice.put("/api/auth/me", {"username": "Found"})).status_code == 200


async def test_a_replica_that_will_not_be_read_is_unavailable(alice: Person) -> None:
    await get_client().config_set("replica-serve-stale-data", "no")
    async with replica():
        answer = await alice.get("/api/auth/me")
    await get_client().config_set("replica-serve-stale-data", "yes")
    assert_unavailable([answer])
    assert (await alice.get("/api/auth/me")).status_code == 200


async def test_a_redis_without_enough_followers_takes_no_writes(alice: Person) -> None:
    await get_client().config_set("min-replicas-to-write", 1)
    answer = await alice.put("/api/auth/me", {"username": "Lost"})
    await get_client().config_set("min-replicas-to-write", 0)
    assert_unavailable([answer])
    assert (await User.objects.aget(alice.id, alice.id)).username == "Alice"
