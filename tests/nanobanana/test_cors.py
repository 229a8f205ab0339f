"""What the pages of other origins may do."""

import httpx
import pytest

from tests.support.people import Person

OURS = "http://localhost:5173"


async def preflight(person: Person, origin: str, method: str = "POST", headers: str = "") -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return await person.laptop.http.request("OPTIONS", "/api/sessions", headers=asked)


def names(answer: httpx.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers[header].split(",")}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_page_of_ours_may_send_what_the_calls_need(alice: Person, method: str) -> None:
    answer = await preflight(alice, OURS, method, "authorization, content-type, idempotency-key")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert method.lower() in names(answer, "Access-Control-Allow-Methods")
    allowed = names(answer, "Access-Control-Allow-Headers")
    assert {"authorization", "content-type", "idempotency-key", "range", "if-none-match"} <= allowed
    assert "origin" in names(answer, "Vary")


@pytest.mark.parametrize("path", ["/api/auth/me", "/nowhere", "/api/sessions?limit=0", "/health"])
async def test_a_page_of_ours_may_read_answers_errors_and_their_headers(alice: Person, path: str) -> None:
    answer = await alice.get(path, headers={"Origin": OURS})
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    exposed = names(answer, "Access-Control-Expose-Headers")
    assert {
        "x-sync-cursor",
        "x-request-id",
        "retry-after",
        "etag",
        "content-range",
        "content-disposition",
    } <= exposed


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost:5173",
        "http://localhost:5174",
        "http://localhost",
        "http://localhost:5173.evil.example",
        "http://evil.example/http://localhost:5173",
        "http://user@localhost:5173",
        "null",
        "http://[",
        "",
    ],
)
async def test_a_page_of_another_origin_may_not(alice: Person, origin: str) -> None:
    for answer in (
        await preflight(alice, origin),
        await alice.get("/api/auth/me", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.status_code == 200


async def test_no_page_sends_cookies(alice: Person) -> None:
    for answer in (await preflight(alice, OURS), await alice.get("/api/auth/me", headers={"Origin": OURS})):
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Set-Cookie" not in answer.headers


async def test_options_without_a_preflight_is_a_method_like_any_other(alice: Person) -> None:
    answer = await alice.laptop.http.request("OPTIONS", "/api/sessions", headers={"Origin": OURS})
    assert answer.status_code == 405
