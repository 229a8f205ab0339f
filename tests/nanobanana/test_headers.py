"""What every answer carries, and what no log ever holds."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from nanobanana.middleware import SECURITY_HEADERS, is_behind_tls, secure
from tests.support.limits import set_limits
from tests.support.log_lines import lines_of
from tests.support.people import PATIENCE, Person
from tests.support.redis_server import RunningRedis
from tests.support.server_process import served
from tests.support.web_server import WebServer

ORIGIN = "http://localhost:5173"
BAD_TOKEN = "a-bad-token-0123456789"
FORGED_TOKEN = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"none"}', b'{"userId":"somebody"}', b"no signature")
)


async def test_the_rate_limit_headers_have_the_shape_of_the_draft(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=600, writes=2, window=60_000)
    answer = await alice.get("/api/auth/me")
    assert answer.headers["RateLimit-Policy"] == '"reads";q=600;w=60'
    assert answer.headers["RateLimit"] == '"reads";r=599;t=1'
    answer = await alice.post("/api/sessions", {"title": "Cats"})
    assert answer.headers["RateLimit-Policy"] == '"writes";q=2;w=60'
    assert answer.headers["RateLimit"] == '"writes";r=1;t=30'


async def test_an_error_says_how_one_stands(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=600)
    answer = await alice.get("/api/sessions/nonsense")
    assert (answer.status_code, answer.headers["RateLimit"]) == (404, '"reads";r=599;t=6')


async def test_a_refusal_says_what_and_until_when(alice: Person, settings: Any) -> None:
    set_limits(settings, writes=1, window=90_000)
    await alice.post("/api/sessions", {"title": "Cats"})
    answer = await alice.post("/api/sessions", {"title": "Cats"})
    assert answer.status_code == 429
    assert answer.json()["error"] == "too_many_requests"
    assert answer.json()["requestId"] == answer.headers["X-Request-Id"]
    assert 80 < int(answer.headers["Retry-After"]) <= 90
    assert re.fullmatch(r'"writes";r=0;t=(8\d|90)', answer.headers["RateLimit"])
    assert answer.headers["RateLimit-Policy"] == '"writes";q=1;w=90'


async def test_a_browser_may_read_them(alice: Person) -> None:
    answer = await alice.get("/api/auth/me", headers={"Origin": ORIGIN})
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= {"RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id", "X-Sync-Cursor"}


async def test_every_answer_has_the_security_headers_and_an_id(server: WebServer, alice: Person) -> None:
    async with httpx.AsyncClient(base_url=server.url) as stranger:
        answers = [
            await alice.get("/api/auth/me"),
            await stranger.get("/api/auth/me"),
            await stranger.get("/nowhere"),
            await stranger.delete("/health"),
            await stranger.post("/api/auth/login", content=b"{"),
            await stranger.get("/health?%ff"),
            await stranger.options("/api/auth/me", headers=preflight()),
        ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 405, 400, 200, 200]
    for answer in answers:
        assert answer.headers.items() >= {(name.lower(), value) for name, value in SECURITY_HEADERS.items()}
        assert "Strict-Transport-Security" not in answer.headers
    identifiers = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(identifiers) == len(answers)
    assert all(re.fullmatch("[0-9a-f]{16}", identifier) for identifier in identifiers)


def preflight() -> dict[str, str]:
    return {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}


async def test_a_picture_may_be_shown_by_other_sites(alice: Person) -> None:
    image = await alice.make_image((await alice.make_session())["id"])
    answer = await alice.get(image["path"].removeprefix("http://testserver"))
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("production", "address", "behind"),
    [
        (True, "https://api.example.com", True),
        (True, "http://api.example.com", False),
        (False, "https://localhost:3001", False),
    ],
)
def test_browsers_are_told_to_insist_on_tls_where_they_come_by_it(
    production: bool, address: str, behind: bool, settings: Any
) -> None:
    settings.IS_PRODUCTION, settings.PUBLIC_BASE_URL = production, address
    assert is_behind_tls() is behind


async def test_in_production_the_header_says_so(settings: Any) -> None:
    settings.IS_PRODUCTION, settings.PUBLIC_BASE_URL = True, "https://api.example.com"
    answer = await secure(answer_nothing)(HttpRequest())
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def answer_nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


async def fetch(server: WebServer, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url) as client:
        return await client.get(path)


@pytest.fixture(scope="module")
def logging_server(
    redis_server: RunningRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WebServer, Path]]:
    """A server that writes down all it can, and where."""
    logs = tmp_path_factory.mktemp("server") / "logs"
    with served(logs, LOG_LEVEL="debug") as server:
        yield server, logs


async def test_no_log_holds_a_secret(alice: Person, logging_server: tuple[WebServer, Path]) -> None:
    server, directory = logging_server
    session_id = (await alice.make_session())["id"]
    tokens = [alice.phone.token, BAD_TOKEN, FORGED_TOKEN]
    for token in tokens:
        await call_with(server, token)
        await connect_with(server, session_id, token)
    ticket = (await alice.phone.post("/api/auth/ws-ticket")).json()["ticket"]
    await open_and_close(f"{server.websocket_url}/ws/{session_id}?ticket={ticket}")
    logs = {path.name: path.read_text() for path in directory.iterdir()}
    assert logs.keys() >= {"combined.log", "console.log"}
    assert logs["combined.log"].count("/ws/:session_id") >= 5 * len(tokens)
    secrets = [*tokens, *[token.rpartition(".")[2] for token in tokens], ticket, alice.password]
    assert [(name, secret) for name, text in logs.items() for secret in secrets if secret in text] == []


async def call_with(server: WebServer, token: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        await client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
        await client.get(f"/api/auth/me?token={token}")
        await client.get(f"/nowhere?x&token={token}")
        await client.post("/api/auth/refresh", json={"refreshToken": token})
        await client.post("/api/auth/login", json={"email": "a@example.com", "password": token})


async def connect_with(server: WebServer, session_id: str, token: str) -> None:
    address = f"{server.websocket_url}/ws/{session_id}"
    for query in (f"?token={token}", f"?userId=x&token={token}", f"??=&token={token}", f'?"&token={token}'):
        await open_and_close(address + query)
    await open_and_close(address, subprotocols=[Subprotocol("bearer"), Subprotocol(token)])


async def open_and_close(address: str, **options: Any) -> None:
    async with connect(address, open_timeout=PATIENCE, **options):
        pass


async def test_the_line_of_a_request_and_its_errors_carry_its_id(
    logging_server: tuple[WebServer, Path],
) -> None:
    server, logs = logging_server
    answer, missing = await fetch(server, "/health"), await fetch(server, "/nowhere")
    lines = lines_of(logs / "combined.log")
    for each, route in ((answer, "/health"), (missing, "unmatched")):
        identifier = each.headers["X-Request-Id"]
        assert [line["route"] for line in lines if line.get("request_id") == identifier] == [route]
    assert missing.json()["requestId"] == missing.headers["X-Request-Id"]
    assert ["request_id" in line for line in lines if "serves" in line["event"]] == [False]
