"""A socket outlives its token when it shows another one in time."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection

from accounts.tokens import AccessToken, read_access_token
from nanobanana.redisdb.ids import new_id
from realtime import consumers
from realtime.frames import moment_of
from tests.realtime.conftest import frames_and_close_code, opened, token_of
from tests.support.limits import set_limits
from tests.support.people import PATIENCE, Device, Person


@pytest.fixture
async def ending(alice: Person, session_id: str) -> AsyncIterator[ClientConnection]:
    """A socket of the phone whose token is good for two seconds more; the news of it is heard already."""
    token = token_of(alice.phone, seconds=2)
    async with opened(alice.phone, f"/ws/{session_id}?token={token}") as socket:
        assert (await following(socket))["type"] == "connected"
        assert (await following(socket)) == {"type": "token_expired", "expiresAt": moment_of(token["exp"])}
        yield socket


async def following(socket: ClientConnection) -> dict[str, Any]:
    """The next frame that tells of more than who is here, which comes when a test is slow enough."""
    while (frame := orjson.loads(await asyncio.wait_for(socket.recv(), PATIENCE)))["type"] == "presence":
        pass
    return frame


async def show(socket: ClientConnection, token: object) -> dict[str, Any]:
    """Show a token, and hear what is said to it."""
    await socket.send(orjson.dumps({"type": "authenticate", "payload": {"token": str(token)}}).decode())
    return await following(socket)


async def test_with_a_new_token_it_goes_on(alice: Person, session_id: str, ending: ClientConnection) -> None:
    expiry = read_access_token(alice.phone.token).expires_at
    assert await show(ending, alice.phone.token) == {"type": "authenticated", "expiresAt": moment_of(expiry)}
    await asyncio.sleep(2.1)
    await alice.make_session()
    assert (await following(ending))["type"] == "session_created"


async def test_the_new_token_ends_too(alice: Person, ending: ClientConnection) -> None:
    token = token_of(alice.phone, seconds=3)
    assert (await show(ending, token))["type"] == "authenticated"
    frames, code = await frames_and_close_code(ending)
    assert ([frame["type"] for frame in frames], code) == (["token_expired"], 4401)
    assert time.time() >= token["exp"]


async def test_another_user_s_token_is_refused_and_changes_nothing(
    alice: Person, mallory: Person, ending: ClientConnection
) -> None:
    refused = await show(ending, mallory.phone.token)
    assert (refused["type"], refused["code"]) == ("error", "forbidden")
    await alice.make_session()
    await mallory.make_session()
    assert (await following(ending))["type"] == "session_created"
    assert await frames_and_close_code(ending) == ([], 4401)


def stranger_s(alice: Person) -> str:
    token = AccessToken()
    token["userId"], token["deviceId"] = alice.id, new_id()
    return str(token)


@pytest.mark.parametrize("kind", ["nonsense", "refresh", "expired", "of a device that is gone", "empty"])
async def test_a_token_that_is_not_good_is_refused(
    alice: Person, ending: ClientConnection, kind: str
) -> None:
    token = {
        "nonsense": "nonsense",
        "refresh": alice.phone.refresh_token,
        "expired": str(token_of(alice.phone, seconds=-1)),
        "of a device that is gone": stranger_s(alice),
        "empty": "",
    }[kind]
    refused = await show(ending, token)
    assert refused["code"] == ("validation_failed" if kind == "empty" else "token_invalid")
    assert (await show(ending, alice.phone.token))["type"] == "authenticated"


async def test_it_belongs_to_the_device_of_the_new_token(alice: Person, ending: ClientConnection) -> None:
    assert (await show(ending, alice.laptop.token))["type"] == "authenticated"
    await alice.phone.post("/api/auth/logout")
    await alice.make_session()
    assert (await following(ending))["type"] == "session_created"
    await alice.laptop.post("/api/auth/logout")
    assert await frames_and_close_code(ending) == ([], 4401)


async def test_a_token_can_be_shown_at_any_time(alice: Person, session_id: str) -> None:
    await alice.phone.listen(session_id)
    answer = await renewed(alice.phone)
    assert answer["type"] == "authenticated"


async def renewed(device: Device) -> dict[str, Any]:
    token = (await device.post("/api/auth/refresh")).json()["token"]
    assert device.socket
    return await show(device.socket, token)


async def test_its_end_is_announced_a_minute_ahead(
    alice: Person, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert consumers.WARNING == 60
    monkeypatch.setattr(consumers, "WARNING", 2)
    token = token_of(alice.phone, seconds=4)
    async with opened(alice.phone, f"/ws/{session_id}?token={token}") as socket:
        assert (await following(socket))["type"] == "connected"
        assert (await following(socket))["type"] == "token_expired"
        assert token["exp"] - 2.1 <= time.time() <= token["exp"] - 1


async def test_a_token_of_a_short_life_is_not_announced_to_end_at_once(
    alice: Person, session_id: str, settings: Any
) -> None:
    """Whoever renews it then would be told again, and renew it again, without end."""
    settings.JWT_EXPIRES_IN = 3
    token = token_of(alice.phone, seconds=3)
    async with opened(alice.phone, f"/ws/{session_id}?token={token}") as socket:
        assert (await following(socket))["type"] == "connected"
        assert (await following(socket))["type"] == "token_expired"
        assert token["exp"] - 1.1 <= time.time() <= token["exp"]


async def test_showing_tokens_counts_as_reads(alice: Person, session_id: str, settings: Any) -> None:
    set_limits(settings, reads=2)
    await alice.phone.listen(session_id)
    assert alice.phone.socket
    assert (await show(alice.phone.socket, alice.phone.token))["type"] == "authenticated"
    assert (await show(alice.phone.socket, alice.phone.token))["code"] == "too_many_requests"
