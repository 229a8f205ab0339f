"""The line a request leaves in the log."""

from datetime import datetime
from typing import Any

import pytest

from tests.support.log_lines import Line, Log
from tests.support.people import Person


def of_requests(log: Log) -> list[Line]:
    return [line for line in log.of("nanobanana.requests") if line["event"] == "request"]


async def test_every_request_leaves_one_line_with_its_id(alice: Person) -> None:
    log = Log()
    answers = [
        await alice.get("/api/auth/me"),
        await alice.get("/nowhere"),
        await alice.put("/api/auth/me", []),
    ]
    names = ("method", "route", "status", "request_id")
    assert [tuple(line[name] for name in names) for line in of_requests(log)] == [
        ("GET", "/api/auth/me", 200, answers[0].headers["X-Request-Id"]),
        ("GET", "unmatched", 404, answers[1].headers["X-Request-Id"]),
        ("PUT", "/api/auth/me", 400, answers[2].headers["X-Request-Id"]),
    ]


async def test_it_says_when_how_long_and_whose(alice: Person) -> None:
    log = Log()
    await alice.get("/api/auth/me")
    [line] = of_requests(log)
    assert line["timestamp"].endswith("Z")
    assert datetime.fromisoformat(line["timestamp"]).tzinfo
    assert 0 < line["duration_ms"] < 10_000
    assert (line["level"], line["user_id"]) == ("INFO", alice.id)


async def test_who_is_not_signed_in_has_no_name(alice: Person) -> None:
    log = Log()
    await alice.laptop.http.get("/health/live")
    await alice.laptop.http.get("/api/auth/me", headers={"Authorization": "Bearer nonsense"})
    assert ["user_id" in line for line in of_requests(log)] == [False, False]


async def test_a_sign_in_tells_who_came(alice: Person) -> None:
    log = Log()
    body: dict[str, Any] = {"email": alice.email, "password": alice.password}
    await alice.laptop.http.post("/api/auth/login", json=body)
    await alice.laptop.http.post("/api/auth/login", json=body | {"password": "wrong, all wrong"})
    assert [line.get("user_id") for line in of_requests(log)] == [alice.id, None]


async def test_a_socket_leaves_one_line_when_it_ends(alice: Person, mallory: Person) -> None:
    session_id = (await alice.make_session())["id"]
    log = Log()
    await alice.phone.listen(session_id)
    assert alice.phone.socket
    await alice.phone.socket.close(1000)
    with pytest.raises(Exception, match="4404"):
        await mallory.phone.listen(session_id)
    lines = [line for line in log.of("nanobanana.requests") if line["event"] == "socket"]
    assert [(line["route"], line["status"], line["user_id"]) for line in lines] == [
        ("/ws/:session_id", 1000, alice.id),
        ("/ws/:session_id", 4404, mallory.id),
    ]


@pytest.mark.parametrize("part", ["%0A", "%0D%0A", "%E2%80%A8", "%1B[2J", "%C2%85", "x?token=eyJhbGciOi"])
async def test_nothing_of_an_address_is_in_the_line(alice: Person, part: str) -> None:
    log = Log()
    await alice.get(f"/forged{part}2025-01-27 10:00:00,000 ERROR nanobanana.errors forged")
    [line] = of_requests(log)
    assert line["route"] == "unmatched"
    assert "forged" not in log.text
