"""POST /api/auth/verify and /api/auth/verify/resend"""

from typing import Any

import httpx
import pytest

from accounts.links import MAILS_AN_HOUR
from nanobanana.redisdb.client import get_client
from tests.accounts.conftest import keys_of, registration
from tests.accounts.mails import mail_to, mails_to, token_mailed_to
from tests.accounts.test_me import USER_FIELDS, events_of, stored
from tests.accounts.test_reset import assert_no_link, link_of
from tests.support.people import Person

PAGE = "verify-email"
RESEND = "/api/auth/verify/resend"


async def verify(anybody: httpx.AsyncClient, token: Any) -> httpx.Response:
    return await anybody.post("/api/auth/verify", json={"token": token})


async def test_registering_mails_a_link(anybody: httpx.AsyncClient, email: str) -> None:
    answer = await anybody.post("/api/auth/register", json=registration(email))
    assert answer.json()["user"]["emailVerified"] is False
    token = await token_mailed_to(email, PAGE)
    assert token.startswith(answer.json()["user"]["id"] + ".")
    assert len(mails_to(email, PAGE)) == 1


async def test_the_link_proves_the_address_for_every_device(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    answer = await verify(anybody, await token_mailed_to(alice.email, PAGE))
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "user"}
    user = answer.json()["user"]
    assert user.keys() == USER_FIELDS
    assert user["emailVerified"] is True
    assert (await alice.get("/api/auth/me")).json()["user"] == user
    [frame] = await alice.phone.heard()
    assert (frame["type"], frame["payload"]) == ("user_updated", {"user": user})


async def test_a_link_works_once(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await token_mailed_to(alice.email, PAGE)
    await verify(anybody, token)
    assert_no_link(await verify(anybody, token))
    assert await events_of(alice) == ["user_updated"]


async def test_a_second_link_changes_nothing_more(anybody: httpx.AsyncClient, alice: Person) -> None:
    first = await token_mailed_to(alice.email, PAGE)
    await alice.post(RESEND)
    second = await token_mailed_to(alice.email, PAGE, number=2)
    assert first != second
    for token in (first, second):
        answer = await verify(anybody, token)
        assert (answer.status_code, answer.json()["user"]["emailVerified"]) == (200, True)
    assert await events_of(alice) == ["user_updated"]


async def test_a_link_ends_after_an_hour(anybody: httpx.AsyncClient, alice: Person) -> None:
    token = await token_mailed_to(alice.email, PAGE)
    [key] = [key for key in await keys_of(alice.id) if ":verify:" in key and not key.endswith(":count")]
    assert 3500 < await get_client().ttl(key) <= 3600
    await get_client().delete(key)
    assert_no_link(await verify(anybody, token))
    assert not (await stored(alice)).email_verified


async def test_a_link_to_reset_the_password_verifies_nothing(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    assert_no_link(await verify(anybody, await link_of(anybody, alice)))


@pytest.mark.parametrize("token", [None, "", 5, "nonsense", "x" * 129])
async def test_what_is_no_token_is_refused(anybody: httpx.AsyncClient, token: Any) -> None:
    assert_no_link(await verify(anybody, token))


async def test_another_link_can_be_asked_for(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await alice.post(RESEND)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    token = await token_mailed_to(alice.email, PAGE, number=2)
    assert (await verify(anybody, token)).status_code == 200


async def test_who_is_verified_gets_no_more_mails(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    await verify(anybody, await token_mailed_to(alice.email, PAGE))
    assert (await alice.post(RESEND)).status_code == 200
    await mallory.post(RESEND)
    await mail_to(mallory.email, PAGE, number=2)
    assert len(mails_to(alice.email, PAGE)) == 1


async def test_there_are_only_so_many_mails_in_an_hour(alice: Person, mallory: Person) -> None:
    for _ in range(MAILS_AN_HOUR + 2):
        assert (await alice.post(RESEND)).status_code == 200
    await mail_to(alice.email, PAGE, number=MAILS_AN_HOUR)
    await mallory.post(RESEND)
    await mail_to(mallory.email, PAGE, number=2)
    assert len(mails_to(alice.email, PAGE)) == MAILS_AN_HOUR


async def test_only_who_is_signed_in_asks_for_another(anybody: httpx.AsyncClient) -> None:
    assert (await anybody.post(RESEND)).status_code == 401
