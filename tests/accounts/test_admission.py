"""How a request begins, in one round trip: device and user are there, the budget has room, it was seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.managers import SEEN_EVERY
from accounts.models import Device, User
from accounts.services.access import authenticate
from accounts.tokens import read_access_token
from nanobanana.errors import TokenInvalid
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.fields import milliseconds, now
from nanobanana.redisdb.keys import owner_key
from nanobanana.throttling import READS
from tests.support.limits import set_limits
from tests.support.people import Person


def phone_of(person: Person) -> Device:
    claims = read_access_token(person.phone.token)
    return Device(claims.user_id, claims.device_id)


async def last_seen(device: Device) -> datetime:
    return (await Device.objects.aget(device.owner_id, device.id)).last_seen_at


async def seen_before(device: Device, span: timedelta) -> datetime:
    moment = now() - span
    await get_client().hset(device.key, "last_seen_at", milliseconds(moment))
    return moment


@asynccontextmanager
async def commands_about(person: Person) -> AsyncIterator[list[str]]:
    """The commands about this person that reach Redis inside the block, without those that scripts run."""
    heard: list[str] = []
    async with get_client().monitor() as monitor:
        listening = asyncio.create_task(_listen(monitor, heard))
        yield heard
        await get_client().echo("the end")
        await listening
    heard[:] = [command for command in heard if person.id in command]


async def _listen(monitor: Any, heard: list[str]) -> None:
    async for entry in monitor.listen():
        if entry["command"] == "ECHO the end":
            return
        if entry["client_type"] != "lua":
            heard.append(entry["command"])


@pytest.mark.parametrize("reads", [0, 1000])
async def test_it_is_one_round_trip(alice: Person, settings: Any, reads: int) -> None:
    session_id = (await alice.make_session())["id"]
    set_limits(settings, reads=reads)
    async with commands_about(alice) as commands:
        assert (await alice.get("/api/auth/me")).status_code == 200
    assert len(commands) == 1, commands
    async with commands_about(alice) as commands:
        assert (await alice.get(f"/api/sessions/{session_id}")).status_code == 200
    assert len(commands) == 2, commands


async def test_a_device_is_seen_when_it_was_not_for_a_while(alice: Person) -> None:
    device = phone_of(alice)
    before = await seen_before(device, timedelta(milliseconds=SEEN_EVERY + 1))
    await alice.phone.get("/api/auth/me")
    assert before < await last_seen(device) <= now() + timedelta(seconds=1)


async def test_a_device_that_was_just_seen_costs_no_write(alice: Person) -> None:
    device = phone_of(alice)
    before = await seen_before(device, timedelta(milliseconds=SEEN_EVERY - 60_000))
    await alice.phone.get("/api/auth/me")
    assert await last_seen(device) == before


async def test_a_device_is_seen_also_when_it_asks_too_often(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=1)
    await alice.phone.get("/api/auth/me")
    device = phone_of(alice)
    before = await seen_before(device, timedelta(hours=1))
    assert (await alice.phone.get("/api/auth/me")).status_code == 429
    assert await last_seen(device) > before


async def refused(attempt: Awaitable[Any]) -> bool:
    with pytest.raises(TokenInvalid):
        await attempt
    return True


async def test_without_its_device_a_token_is_nothing_and_leaves_nothing(alice: Person, settings: Any) -> None:
    set_limits(settings)
    device = phone_of(alice)
    await get_client().delete(device.key)
    assert await refused(authenticate(alice.phone.token, READS))
    assert not await get_client().exists(device.key, owner_key(alice.id, "limit", "reads"))
    assert (await authenticate(alice.laptop.token, READS)).user.id == alice.id


async def test_without_its_user_a_token_is_nothing(alice: Person) -> None:
    await get_client().delete(User(alice.id, alice.id).key)
    assert await refused(authenticate(alice.phone.token))


async def test_a_user_who_is_not_active_is_refused(alice: Person) -> None:
    await get_client().hset(User(alice.id, alice.id).key, "is_active", "0")
    assert await refused(authenticate(alice.phone.token))
    assert (await alice.get("/api/auth/me")).json()["error"] == "token_invalid"


async def test_the_visitor_knows_how_the_user_stands(alice: Person, settings: Any) -> None:
    set_limits(settings, reads=10)
    visitors = [await authenticate(alice.phone.token, READS) for _ in range(2)]
    assert [visitor.standing.left for visitor in visitors if visitor.standing] == [9, 8]
    assert (await authenticate(alice.phone.token)).standing is None
