"""POST /api/auth/ws-ticket"""

from datetime import timedelta

import httpx
import pytest

from accounts.services.access import redeem_ticket
from accounts.tokens import AccessToken, read_access_token
from nanobanana.errors import TokenInvalid
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import owner_key
from tests.accounts.conftest import keys_of
from tests.support.people import Person


async def ticket_of(person: Person) -> str:
    answer = await person.phone.post("/api/auth/ws-ticket")
    assert answer.status_code == 200
    assert answer.json().keys() == {"ticket", "expiresIn"}
    assert answer.json()["expiresIn"] == 30
    return answer.json()["ticket"]


async def test_a_ticket_stands_for_its_device_until_its_token_expires(alice: Person) -> None:
    device_id = read_access_token(alice.phone.token).device_id
    token = AccessToken()
    token.set_exp(lifetime=timedelta(minutes=5))
    token["userId"], token["deviceId"] = alice.id, device_id
    alice.phone.token = str(token)
    visitor = await redeem_ticket(await ticket_of(alice))
    assert (visitor.user.id, visitor.device_id) == (alice.id, device_id)
    assert visitor.expires_at == token["exp"]


async def test_a_ticket_opens_a_socket_once(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    ticket = await ticket_of(alice)
    assert (await alice.phone.listen(session_id, ticket=ticket, token=""))["type"] == "connected"
    with pytest.raises(TokenInvalid):
        await redeem_ticket(ticket)


async def test_a_ticket_is_kept_for_half_a_minute(alice: Person) -> None:
    ticket = await ticket_of(alice)
    [(key, life)] = [(key, life) for key, life in (await keys_of(alice.id)).items() if ":ticket:" in key]
    assert 0 < life <= 30
    await get_client().delete(key)  # as its end does
    with pytest.raises(TokenInvalid):
        await redeem_ticket(ticket)


async def test_the_ticket_of_a_signed_out_device_is_void(alice: Person) -> None:
    ticket = await ticket_of(alice)
    await alice.phone.post("/api/auth/logout")
    with pytest.raises(TokenInvalid):
        await redeem_ticket(ticket)


async def test_no_two_tickets_are_the_same(alice: Person) -> None:
    assert len({await ticket_of(alice) for _ in range(5)}) == 5


async def test_what_is_no_ticket_is_refused_and_reads_no_other_key(alice: Person, mallory: Person) -> None:
    word = (await ticket_of(alice)).partition(".")[2]
    for ticket in (
        "",
        ".",
        alice.id,
        f"{alice.id}.",
        f"{alice.id}.{word[:-1]}",
        f"{mallory.id}.{word}",
        f"{new_id()}.{word}",
        f"{alice.id}.{word}\u00e9",
        f"{alice.id}.{word}" + "x" * 100,
        f"{alice.id}}}.{word}",
        f"*.{word}",
    ):
        with pytest.raises(TokenInvalid):
            await redeem_ticket(ticket)
    assert await get_client().exists(owner_key(alice.id, "ticket", word)) == 1


async def test_a_ticket_is_no_token(anybody: httpx.AsyncClient, alice: Person) -> None:
    headers = {"Authorization": f"Bearer {await ticket_of(alice)}"}
    assert (await anybody.get("/api/auth/me", headers=headers)).status_code == 401


async def test_a_stranger_gets_none(anybody: httpx.AsyncClient) -> None:
    assert (await anybody.post("/api/auth/ws-ticket")).status_code == 401
