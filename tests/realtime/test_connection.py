"""Opening a socket: how a device says who it is, and how the server refuses."""

import asyncio
from typing import Any

import pytest

from accounts.tokens import read_access_token
from tests.realtime.conftest import frames_and_close_code, opened
from tests.support.people import Person
from tests.support.redis_server import RunningRedis

NO_SESSION = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


async def test_the_first_frame_says_who_where_and_from_which_position(alice: Person, session_id: str) -> None:
    frame = await alice.phone.listen(session_id)
    assert frame.keys() == {
        *("type", "sessionId", "sessionIds", "userId", "deviceId", "connectionId"),
        *("cursor", "recovered", "timestamp"),
    }
    assert frame["deviceId"] == read_access_token(alice.phone.token).device_id
    assert (frame["type"], frame["sessionId"], frame["userId"]) == ("connected", session_id, alice.id)
    assert frame["recovered"] is False
    renamed = await alice.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    epoch, _, offset = frame["cursor"].partition(":")
    assert renamed.headers["X-Sync-Cursor"] == f"{epoch}:{int(offset) + 1}"


async def test_two_sockets_of_one_device_have_ids_of_their_own(alice: Person, session_id: str) -> None:
    first = await alice.phone.listen(session_id)
    async with opened(alice.phone, f"/ws/{session_id}?token={alice.phone.token}") as again:
        frames = await asyncio.wait_for(again.recv(), 5)
    assert first["connectionId"] not in frames


async def test_a_token_in_the_subprotocols_stays_out_of_the_address(alice: Person, session_id: str) -> None:
    async with opened(alice.phone, f"/ws/{session_id}", subprotocols=["bearer", alice.phone.token]) as socket:
        assert socket.subprotocol == "bearer"
        assert '"connected"' in await asyncio.wait_for(socket.recv(), 5)


async def test_a_ticket_opens_one_socket(alice: Person, session_id: str) -> None:
    ticket = (await alice.phone.post("/api/auth/ws-ticket")).json()["ticket"]
    async with opened(alice.phone, f"/ws/{session_id}?ticket={ticket}") as socket:
        assert '"connected"' in await asyncio.wait_for(socket.recv(), 5)
    async with opened(alice.phone, f"/ws/{session_id}?ticket={ticket}") as socket:
        assert await frames_and_close_code(socket) == ([], 4401)


async def test_other_sessions_can_be_joined_from_the_start(
    alice: Person, mallory: Person, session_id: str
) -> None:
    other = (await alice.make_session())["id"]
    foreign = (await mallory.make_session())["id"]
    connected = await alice.phone.listen(session_id, join=f"{other},{foreign},nonsense,")
    assert connected["sessionIds"] == sorted([session_id, other])
    await alice.make_message(other)
    assert "message_created" in await alice.phone.heard_types(at_least=2)


@pytest.mark.parametrize(
    "query", ["", "token=", "token=nonsense", "token=%00%ff", "ticket=nonsense", "token=a&token=b"]
)
async def test_a_bad_token_is_refused(alice: Person, session_id: str, query: str) -> None:
    async with opened(alice.phone, f"/ws/{session_id}?{query}") as socket:
        assert await frames_and_close_code(socket) == ([], 4401)


@pytest.mark.parametrize("offered", [["bearer"], ["bearer", "nonsense"]])
async def test_a_bad_token_in_the_subprotocols_is_refused(
    alice: Person, session_id: str, offered: list[str]
) -> None:
    async with opened(alice.phone, f"/ws/{session_id}", subprotocols=offered) as socket:
        assert await frames_and_close_code(socket) == ([], 4401)


async def test_a_refresh_token_is_no_access_token(alice: Person, session_id: str) -> None:
    async with opened(alice.phone, f"/ws/{session_id}?token={alice.phone.refresh_token}") as socket:
        assert await frames_and_close_code(socket) == ([], 4401)


async def test_a_foreign_user_id_is_refused(alice: Person, mallory: Person, session_id: str) -> None:
    async with opened(
        alice.phone, f"/ws/{session_id}?userId={mallory.id}&token={alice.phone.token}"
    ) as socket:
        assert await frames_and_close_code(socket) == ([], 4403)


@pytest.mark.parametrize("origin", [None, "", "http://localhost:5173", "http://testserver"])
async def test_pages_that_may_call_and_native_clients_are_let_in(
    alice: Person, session_id: str, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    path = f"/ws/{session_id}?token={alice.phone.token}"
    async with opened(alice.phone, path, additional_headers=headers) as socket:
        assert '"connected"' in await asyncio.wait_for(socket.recv(), 5)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost:5173",
        "http://localhost",
        "http://localhost:5173.evil.example",
        "http://testserver:80",
        "null",
        "file://",
        "http://[",
    ],
)
async def test_a_page_of_another_origin_is_refused(alice: Person, session_id: str, origin: str) -> None:
    path = f"/ws/{session_id}?token={alice.phone.token}"
    async with opened(alice.phone, path, origin=origin) as socket:
        assert await frames_and_close_code(socket) == ([], 4403)


async def test_every_page_is_let_in_where_every_page_may_call(
    alice: Person, session_id: str, settings: Any
) -> None:
    settings.CORS_ORIGIN = ["*"]
    path = f"/ws/{session_id}?token={alice.phone.token}"
    async with opened(alice.phone, path, origin="http://anywhere.example") as socket:
        assert '"connected"' in await asyncio.wait_for(socket.recv(), 5)


@pytest.mark.parametrize("session", [NO_SESSION, "nonsense", "%00", "a" * 300, "..%2f..%2fetc", "漢字", ""])
async def test_a_session_that_does_not_exist_is_refused(alice: Person, session: str) -> None:
    async with opened(alice.phone, f"/ws/{session}?token={alice.phone.token}") as socket:
        assert await frames_and_close_code(socket) == ([], 4404)


async def test_a_foreign_session_is_refused_like_one_that_does_not_exist(
    alice: Person, mallory: Person, session_id: str
) -> None:
    async with opened(mallory.phone, f"/ws/{session_id}?token={mallory.phone.token}") as socket:
        assert await frames_and_close_code(socket) == ([], 4404)


async def test_a_deleted_session_is_refused(alice: Person, session_id: str) -> None:
    await alice.delete(f"/api/sessions/{session_id}")
    async with opened(alice.phone, f"/ws/{session_id}?token={alice.phone.token}") as socket:
        assert await frames_and_close_code(socket) == ([], 4404)


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/a/b", "/socket"])
async def test_another_address_has_no_session(alice: Person, path: str) -> None:
    async with opened(alice.phone, f"{path}?token={alice.phone.token}") as socket:
        assert await frames_and_close_code(socket) == ([], 4404)


async def test_while_redis_is_away_a_device_is_told_to_try_again(
    alice: Person, session_id: str, redis_server: RunningRedis
) -> None:
    redis_server.kill()
    try:
        async with opened(alice.phone, f"/ws/{session_id}?token={alice.phone.token}") as socket:
            assert await frames_and_close_code(socket) == ([], 1013)
    finally:
        redis_server.restart()
    assert (await alice.phone.listen(session_id))["type"] == "connected"
