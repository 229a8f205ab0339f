"""How often a call goes to Redis, by what Redis itself was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import owner_key
from tests.support.people import Person
from tests.support.redis_server import RunningRedis

Asked = Callable[[], Awaitable[list[str]]]


@pytest.fixture
async def asked(redis_server: RunningRedis, alice: Person) -> AsyncIterator[Asked]:
    """The names of the commands about Alice that came since the last look, those inside scripts left out."""
    redis = Redis.from_url(redis_server.url)

    async def look() -> list[str]:
        end = f"the end {new_id()}"
        await redis.echo(end)
        names: list[str] = []
        while True:
            command = await monitor.next_command()
            if end in command["command"]:
                return names
            if owner_key(alice.id, "") in command["command"] and command["client_type"] != "lua":
                names.append(command["command"].split()[0])

    async with redis.monitor() as monitor:
        yield look
    await redis.aclose()


@pytest.fixture
async def things(alice: Person) -> dict[str, str]:
    """The ids of a session, a message with an image, and the image; all scripts are known to Redis now."""
    session_id = (await alice.make_session())["id"]
    image_id = (await alice.make_image(session_id))["id"]
    message_id = (await alice.make_message(session_id, imageIds=[image_id]))["id"]
    await alice.get("/api/sessions")
    return {"session": session_id, "message": message_id, "image": image_id}


@pytest.mark.parametrize(
    ("method", "path", "body", "times"),
    [
        ("GET", "/api/auth/me", None, 1),
        ("PUT", "/api/auth/me", {"username": "Ann"}, 2),
        ("PUT", "/api/auth/me", {}, 1),
        ("POST", "/api/auth/refresh", None, 2),
        ("POST", "/api/auth/ws-ticket", None, 2),
        ("GET", "/api/sessions", None, 2),
        ("GET", "/api/sessions/{session}", None, 2),
        ("GET", "/api/sessions/{session}/messages", None, 2),
        ("GET", "/api/sessions/{session}/presence", None, 3),
        ("GET", "/api/sync", None, 1),
        ("GET", "/api/messages/{message}", None, 2),
        ("GET", "/api/messages/{message}/images", None, 2),
        ("GET", "/api/images/{image}", None, 2),
        ("GET", "/api/images/user/all", None, 2),
        ("GET", "/api/images/session/{session}", None, 2),
        ("POST", "/api/sessions", {"title": "Cats"}, 2),
        ("PUT", "/api/sessions/{session}", {"title": "Cats"}, 3),
        ("DELETE", "/api/sessions/{session}", None, 3),
        ("POST", "/api/sessions/{session}/messages", {"role": "user", "text": "Hello"}, 2),
        ("PUT", "/api/messages/{message}", {"text": "Hello again"}, 3),
        ("DELETE", "/api/messages/{message}", None, 3),
        ("GET", "/api/sessions/nonsense", None, 1),
    ],
)
async def test_a_call_asks_redis_for_the_token_and_once_or_twice_more(
    alice: Person, things: dict[str, str], asked: Asked, method: str, path: str, body: Any, times: int
) -> None:
    await asked()
    answer = await alice.laptop.request(method, path.format(**things), json=body)
    assert answer.status_code < 500
    questions = [name for name in await asked() if name != "EVAL"]  # which follows the first EVALSHA of all
    assert len(questions) == times


async def test_who_has_no_good_token_is_refused_without_asking(
    alice: Person, things: dict[str, str], asked: Asked
) -> None:
    await asked()
    for token in ("", "nonsense", alice.laptop.refresh_token):
        answer = await alice.get("/api/sessions", headers={"Authorization": f"Bearer {token}".strip()})
        assert answer.status_code == 401
    assert await asked() == []


async def test_twenty_sessions_are_one_question(alice: Person, asked: Asked) -> None:
    for _ in range(20):
        await alice.make_session()
    await asked()
    assert len((await alice.get("/api/sessions")).json()["sessions"]) == 20
    assert len(await asked()) == 2


async def test_an_idempotency_key_takes_two_questions_more_and_a_repetition_two_in_all(
    alice: Person, things: dict[str, str], asked: Asked
) -> None:
    await alice.post("/api/sessions", headers={"Idempotency-Key": "so-that-redis-knows-the-scripts"})
    await asked()
    for times in (4, 2):
        answer = await alice.post("/api/sessions", headers={"Idempotency-Key": "counted"})
        assert answer.status_code == 201
        assert len(await asked()) == times
