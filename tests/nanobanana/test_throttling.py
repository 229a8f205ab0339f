"""Budgets: how many requests pass, of whom, and when the next one does."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from typing import Any

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from websockets.asyncio.client import connect

from accounts.viewsets import SignedInViewSet, StrangerViewSet
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from tests.redisdb.support import full_memory
from tests.support.limits import HOUR, new_ip, set_limits, trust
from tests.support.people import PATIENCE, Person, make_person, picture
from tests.support.redis_server import RunningRedis
from tests.support.server_process import served
from tests.support.stress import how_many
from tests.support.web_server import WebServer

ROUNDS = how_many(6, under_stress=60)
PARALLEL = 50
LIMIT = 17
LIMITED = {
    "RATE_LIMIT_MAX_REQUESTS": str(LIMIT),
    "RATE_LIMIT_SIGN_INS": str(LIMIT),
    "RATE_LIMIT_WINDOW_MS": str(HOUR),
    "TRUSTED_PROXIES": "127.0.0.1",
}
NOT_COUNTED = {
    *("DocumentationViewSet", "HealthViewSet", "MediaViewSet", "MetricsViewSet"),
    *("IncomingViewSet", "SchemaViewSet", "UnknownViewSet"),
}


@pytest.fixture(scope="module")
def two_servers(server: WebServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[WebServer]]:
    """Two servers on one Redis, started as an operator would; one of them has two processes of its own."""
    logs = tmp_path_factory.mktemp("limited")
    with ExitStack() as running:
        yield [
            running.enter_context(served(logs / str(workers), workers=workers, **LIMITED))
            for workers in (1, 2)
        ]


async def ask_in_parallel(servers: list[WebServer], method: str, path: str, **options: Any) -> Counter[int]:
    """How many of PARALLEL requests at once, spread over the servers, got which status."""
    limits = httpx.Limits(max_connections=PARALLEL)
    async with httpx.AsyncClient(timeout=30, limits=limits) as client:
        answers = await asyncio.gather(
            *[
                client.request(method, server.url + path, **options)
                for server, _ in zip(cycle(servers), range(PARALLEL), strict=False)
            ]
        )
    return Counter(answer.status_code for answer in answers)


@pytest.mark.stress
async def test_exactly_the_limit_passes_whichever_process_is_asked(
    server: WebServer, two_servers: list[WebServer]
) -> None:
    for _ in range(ROUNDS):
        async with make_person(server, "Ann") as person:
            headers = {"Authorization": f"Bearer {person.laptop.token}"}
            statuses = await ask_in_parallel(two_servers, "GET", "/api/auth/me", headers=headers)
        assert statuses == {200: LIMIT, 429: PARALLEL - LIMIT}


@pytest.mark.stress
async def test_exactly_the_limit_of_strangers_passes_whichever_process_is_asked(
    two_servers: list[WebServer],
) -> None:
    for _ in range(ROUNDS):
        options = {"headers": {"X-Forwarded-For": new_ip()}, "json": {}}
        statuses = await ask_in_parallel(two_servers, "POST", "/api/auth/login", **options)
        assert statuses == {400: LIMIT, 429: PARALLEL - LIMIT}


async def test_all_devices_of_a_user_share_a_budget(alice: Person, mallory: Person, settings: Any) -> None:
    set_limits(settings, reads=2)
    assert (await alice.laptop.get("/api/auth/me")).status_code == 200
    assert (await alice.phone.get("/api/sessions")).status_code == 200
    assert (await alice.laptop.get("/api/sessions")).status_code == 429
    assert (await alice.phone.get("/api/auth/me")).status_code == 429
    assert (await mallory.get("/api/auth/me")).status_code == 200


async def test_each_kind_of_request_has_its_budget(alice: Person, settings: Any) -> None:
    session_id = (await alice.make_session())["id"]
    set_limits(settings, reads=1, writes=1, uploads=1)
    body = {"title": "Cats"}
    for spent in (False, True):
        answers = [
            await alice.get("/api/auth/me"),
            await alice.put(f"/api/sessions/{session_id}", body),
            await alice.upload(session_id, picture()),
        ]
        assert [answer.status_code for answer in answers] == ([429] * 3 if spent else [200, 200, 201])
        names = [answer.headers["RateLimit"].partition(";")[0] for answer in answers]
        assert names == ['"reads"', '"writes"', '"uploads"']


async def test_what_is_refused_is_not_done(alice: Person, settings: Any) -> None:
    session_id = (await alice.make_session())["id"]
    set_limits(settings, writes=1)
    await alice.put(f"/api/sessions/{session_id}", {"title": "One"})
    await alice.put(f"/api/sessions/{session_id}", {"title": "Two"})
    assert (await alice.get(f"/api/sessions/{session_id}")).json()["session"]["title"] == "One"


async def test_a_request_that_fails_counts(alice: Person, settings: Any) -> None:
    set_limits(settings, writes=2)
    for _ in range(2):
        assert (await alice.post("/api/sessions", {"title": 1})).status_code == 400
    assert (await alice.post("/api/sessions", {"title": 1})).status_code == 429


async def test_a_refused_token_counts_against_nobody(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=1)
    await alice.phone.post("/api/auth/logout")
    for _ in range(3):
        assert (await alice.phone.get("/api/auth/me")).status_code == 401
    assert (await alice.laptop.get("/api/auth/me")).status_code == 200


async def test_who_waits_as_long_as_told_is_let_in_once(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=2, window=4000)
    statuses = [(await alice.get("/api/auth/me")).status_code for _ in range(2)]
    refused = await alice.get("/api/auth/me")
    assert [*statuses, refused.status_code] == [200, 200, 429]
    assert refused.headers["Retry-After"] in {"1", "2"}  # one request comes back every two seconds
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    assert (await alice.get("/api/auth/me")).status_code == 200
    assert (await alice.get("/api/auth/me")).status_code == 429


async def test_a_whole_budget_comes_back_and_no_more(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=20, window=500)
    for _ in range(20):
        await alice.get("/api/auth/me")
    await asyncio.sleep(1)
    settings.RATE_LIMIT_WINDOW_MS = HOUR
    answers = [(await alice.get("/api/auth/me")).status_code for _ in range(21)]
    assert answers == [200] * 20 + [429]


async def test_a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_window(
    alice: Person, settings: Any
) -> None:
    set_limits(settings, reads=10, window=10_000)
    await get_client().set(owner_key(alice.id, "limit", "reads"), 2**52)
    refused = await alice.get("/api/auth/me")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.headers["RateLimit"] == '"reads";r=0;t=10'


async def test_switched_off_nothing_is_counted(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=0, writes=1, sign_ins=1)
    ip = new_ip()
    trust(settings, "127.0.0.1")
    for _ in range(3):
        answer = await alice.post("/api/sessions", {"title": "Cats"})
        refused = await alice.post("/api/auth/login", {}, headers={"X-Forwarded-For": ip})
        assert (answer.status_code, refused.status_code) == (201, 400)
        assert "RateLimit" not in answer.headers
        assert "RateLimit-Policy" not in refused.headers
    keys = [owner_key(alice.id, "limit", "*"), global_key("limit", ip, "*")]
    assert [await get_client().keys(key.replace("{", "[{]")) for key in keys] == [[], []]


async def test_a_bucket_goes_with_its_window(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=10, window=60_000)
    await alice.get("/api/auth/me")
    assert 0 < await get_client().pttl(owner_key(alice.id, "limit", "reads")) <= 60_000


async def test_counting_writes_nothing_to_the_disk(
    alice: Person, redis_server: RunningRedis, settings: Any
) -> None:
    set_limits(settings)
    await alice.get("/api/auth/me")
    assert await get_client().exists(owner_key(alice.id, "limit", "reads"))
    files = [path for path in redis_server.directory.rglob("*.aof") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files)
    assert owner_key(alice.id, "device").encode() in stored
    assert owner_key(alice.id, "limit").encode() not in stored


async def test_reads_go_on_while_redis_is_full(alice: Person, settings: Any) -> None:
    set_limits(settings)
    async with full_memory():
        assert (await alice.get("/api/auth/me")).status_code == 200
        assert (await alice.post("/api/sessions", {"title": "Cats"})).status_code == 507


async def test_without_redis_nobody_is_let_in(
    server: WebServer, alice: Person, redis_server: RunningRedis, settings: Any
) -> None:
    set_limits(settings)
    await asyncio.to_thread(redis_server.kill)
    try:
        async with httpx.AsyncClient(base_url=server.url) as stranger:
            answers = [await alice.get("/api/auth/me"), await stranger.post("/api/auth/login", json={})]
    finally:
        await asyncio.to_thread(redis_server.restart)
    assert [answer.status_code for answer in answers] == [503, 503]
    assert all(answer.headers["Retry-After"] for answer in answers)
    assert (await alice.get("/api/auth/me")).status_code == 200


async def test_health_and_unknown_addresses_are_not_counted(server: WebServer, settings: Any) -> None:
    set_limits(settings, reads=1, writes=1)
    async with httpx.AsyncClient(base_url=server.url) as client:
        for path, status in [("/health", 200), ("/nowhere", 404)] * 3:
            answer = await client.get(path)
            assert answer.status_code == status
            assert "RateLimit" not in answer.headers


async def test_pictures_are_not_counted(alice: Person, settings: Any) -> None:
    image = await alice.make_image((await alice.make_session())["id"])
    set_limits(settings, reads=1)
    path = image["path"].removeprefix("http://testserver")
    async with httpx.AsyncClient(base_url=alice.laptop.server.url) as client:
        assert [(await client.get(path)).status_code for _ in range(3)] == [200] * 3


async def test_opening_a_socket_is_a_read(alice: Person, settings: Any) -> None:
    session_id = (await alice.make_session())["id"]
    set_limits(settings, reads=1)
    assert (await alice.phone.listen(session_id))["type"] == "connected"
    address = f"{alice.laptop.server.websocket_url}/ws/{session_id}?token={alice.laptop.token}"
    async with connect(address, open_timeout=PATIENCE) as refused:
        await asyncio.wait_for(refused.wait_closed(), PATIENCE)
    assert refused.close_code == 1013


def test_every_call_is_counted_but_a_few() -> None:
    viewsets = {callback.cls for callback in callbacks(get_resolver().url_patterns)}  # type: ignore[attr-defined]
    not_counted = {each for each in viewsets if not issubclass(each, SignedInViewSet | StrangerViewSet)}
    assert {each.__name__ for each in not_counted} <= NOT_COUNTED
    for viewset in viewsets:
        actions = {action for action in viewset.budgets if hasattr(viewset, action)}
        assert actions == set(viewset.budgets), viewset


def callbacks(patterns: list[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from callbacks(pattern.url_patterns)
        else:
            yield pattern.callback
