"""What every call has in common, from the socket to the answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from accounts import views
from nanobanana import asgi
from nanobanana.redisdb.ids import new_id
from tests.support.log_lines import Log
from tests.support.people import Person
from tests.support.web_server import WebServer

LIMIT = 1024 * 1024  # bytes of a JSON body


def credentials() -> bytes:
    """A body that signs nobody in; each time another nobody, or the protection against guessing steps in."""
    return orjson.dumps({"email": f"nobody-{new_id()}@example.com", "password": "not a password"})


async def raw(server: WebServer, request: bytes, *, leave: bool = False) -> bytes:
    """What comes back for these bytes, until the server closes; with `leave`, hang up first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    await writer.drain()
    answer = b"" if leave else await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: testserver", "Connection: close", *headers, "", ""]).encode("latin-1")


def anybody(person: Person) -> httpx.AsyncClient:
    """Calls without a token."""
    return person.laptop.http


# ---- answers
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/api/auth/me", 200),
        ("GET", "/api/sessions/nonsense", 404),
        ("GET", "/nowhere", 404),
        ("PATCH", "/api/auth/me", 405),
        ("POST", "/api/sessions", 201),
        ("PUT", "/api/auth/me", 400),
        ("POST", "/api/images/upload", 415),
    ],
)
async def test_every_answer_is_json_with_an_id_a_length_and_headers_for_safety(
    alice: Person, method: str, path: str, status: int
) -> None:
    body = b"[]" if method == "PUT" else b""
    answer = await alice.laptop.request(method, path, content=body)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert len(answer.headers["X-Request-Id"]) == 16
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Server" not in answer.headers
    if status >= 400:
        assert answer.json().keys() - {"details"} == {"error", "message", "requestId"}
        assert answer.json()["requestId"] == answer.headers["X-Request-Id"]


async def test_no_two_requests_have_one_id(alice: Person) -> None:
    answers = await asyncio.gather(*[alice.get("/api/auth/me") for _ in range(20)])
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 20


async def test_the_client_does_not_choose_the_id(alice: Person) -> None:
    answer = await alice.get("/api/auth/me", headers={"X-Request-Id": "mine"})
    assert answer.headers["X-Request-Id"] != "mine"


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/sessions", "/health", "/nowhere"])
async def test_head_is_get_without_the_body(alice: Person, path: str) -> None:
    expected, answer = await alice.get(path), await alice.laptop.request("HEAD", path)
    assert answer.status_code == expected.status_code
    assert answer.content == b""
    assert answer.headers["Content-Length"] == expected.headers["Content-Length"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/api/auth/me", "DELETE, GET, HEAD, PUT"),
        ("GET", "/api/auth/login", "POST"),
        ("HEAD", "/api/auth/login", "POST"),
        ("OPTIONS", "/api/sessions", "GET, HEAD, POST"),
        ("TRACE", "/api/sessions", "GET, HEAD, POST"),
        ("DELETE", "/health", "GET, HEAD"),
        ("POST", "/media/X/Y/original", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_taken_is_told_which_are(
    alice: Person, method: str, path: str, allowed: str
) -> None:
    for answer in (await anybody(alice).request(method, path), await alice.laptop.request(method, path)):
        assert answer.status_code == 405
        assert answer.headers["Allow"] == allowed
        assert method == "HEAD" or answer.json()["error"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/",
        "/api/sessions/",
        "/api/auth/me/",
        "/API/AUTH/ME",
        "//api/auth/me",
        "/api/auth/../auth/me",
        "/%00",
        "/%FF%FE",
        "/api/auth/me%0A",
        "/static/../manage.py",
        "/ws/X",
        "/" + "x" * 8000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_address_that_is_none_is_not_found(server: WebServer, method: str, path: str) -> None:
    answer = await raw(server, head(f"{method} {path} HTTP/1.1", "Content-Length: 0"))
    start, _, body = answer.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 404 ")
    assert orjson.loads(body)["error"] == "not_found"


# ---- bodies
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"{'email': 1}",
        b'{"email": "a@example.com",}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"email": "\\ud800@example.com"}',
        b'{"email": "\xed\xa0\x80@example.com"}',
        b'{"email": NaN}',
        b"\x00",
        b" ",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"email=a%40example.com&password=password123",
    ],
)
async def test_what_is_no_json_is_refused(alice: Person, body: bytes) -> None:
    answer = await anybody(alice).post(
        "/api/auth/login", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "malformed_body"


async def test_json_that_is_very_deep_is_refused(alice: Person) -> None:
    body = b'{"email":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    answer = await anybody(alice).post("/api/auth/login", content=body)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "Multipart/Form-Data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/json, text/html",
        "nonsense",
    ],
)
async def test_a_body_of_another_type_is_refused(alice: Person, content_type: str) -> None:
    answer = await anybody(alice).post(
        "/api/auth/login", content=credentials(), headers={"Content-Type": content_type}
    )
    assert answer.status_code == 415
    assert answer.json()["error"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", None]
)
async def test_json_is_taken_as_such(alice: Person, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await anybody(alice).post("/api/auth/login", content=credentials(), headers=headers)
    assert answer.json()["error"] == "wrong_credentials"


def padded(size: int) -> bytes:
    """A body of so many bytes of `credentials`."""
    body = credentials()
    return body + b" " * (size - len(body))


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 401), (LIMIT + 1, 413), (30 * LIMIT, 413)])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in pieces"])
async def test_a_body_has_at_most_a_mebibyte(alice: Person, size: int, status: int, is_whole: bool) -> None:
    body = padded(size)
    content = body if is_whole else in_pieces(body, 100_000)
    answer = await anybody(alice).post("/api/auth/login", content=content)
    assert answer.status_code == status
    assert answer.json()["error"] == ("payload_too_large" if status == 413 else "wrong_credentials")
    assert (await alice.get("/api/auth/me")).status_code == 200


async def test_a_body_may_come_byte_by_byte(alice: Person) -> None:
    body = in_pieces(credentials(), 1)
    answer = await anybody(alice).post("/api/auth/login", content=body)
    assert answer.json()["error"] == "wrong_credentials"


async def test_a_client_that_leaves_in_mid_body_leaves_nothing_behind(
    server: WebServer, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    start = head(
        "POST /api/sessions HTTP/1.1", f"Authorization: Bearer {alice.laptop.token}", "Content-Length: 100"
    )
    with caplog.at_level(logging.WARNING):
        for part in (b"", b'{"title":', b'{"title": "Half"}'):
            await raw(server, start + part, leave=True)
        answer = await alice.get("/api/sessions")
    assert answer.json()["sessions"] == []
    assert caplog.records == []


# ---- heads
async def test_a_head_has_its_limit(server: WebServer) -> None:
    small = head("GET /health HTTP/1.1", "X-Padding: " + "x" * 20_000)
    assert (await raw(server, small)).startswith(b"HTTP/1.1 200 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: testserver\r\nX-Padding: ")
    writer.write(b"x" * 100_000)
    assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
    writer.close()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET /ws/x?token=" + "a" * 9000 + " HTTP/1.1"], b"414"),
        (["GET /ws/x HTTP/1.1", "Cookie: " + "a" * 9000], b"431"),
    ],
    ids=["address", "header"],
)
async def test_a_handshake_with_a_huge_line_is_answered(
    server: WebServer, lines: list[str], status: bytes
) -> None:
    handshake = head(
        *lines,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert (await raw(server, handshake)).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "request_head",
    [
        b"nonsense\r\n\r\n",
        b"BREW /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /health\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health?x=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
async def test_what_is_no_http_is_refused(server: WebServer, request_head: bytes) -> None:
    assert (await raw(server, request_head)).startswith(b"HTTP/1.1 400 ")


async def test_percent_encoded_nonsense_in_the_query_is_refused(alice: Person) -> None:
    answer = await alice.get("/api/sessions?limit=%FF%FE")
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"limit"}


async def test_a_query_that_is_no_utf_8_is_refused(server: WebServer) -> None:
    """uvicorn's parser refuses it before; other servers hand it on."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/sessions",
        "query_string": b"limit=\xff",
        "headers": [],
    }
    await asgi.application(scope, receive, send)
    assert sent[0]["status"] == 400
    assert orjson.loads(sent[1]["body"])["error"] == "invalid_request"


@pytest.mark.parametrize("host", ["evil.example", "", "a:b:c", "[::1", "x" * 500])
async def test_the_host_a_client_names_does_not_matter(server: WebServer, host: str) -> None:
    request = f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = await raw(server, request.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert host == "" or host.encode() not in answer


# ---- bugs
async def test_a_bug_is_answered_without_its_trace_and_logged_with_the_request(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render_nobody(user: object) -> None:
        raise KeyError("the secret ingredient")

    monkeypatch.setattr(views, "render_user", render_nobody)
    log = Log("error.log")
    answer = await alice.get("/api/auth/me")
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "internal_error",
        "message": "Something went wrong on our side.",
        "requestId": answer.headers["X-Request-Id"],
    }
    [line] = log.lines
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert "KeyError" in line["exception"]
