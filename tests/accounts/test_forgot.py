"""POST /api/auth/password/forgot"""

import asyncio
import hashlib
import logging
from typing import Any

import httpx
import pytest
from django.core import mail

from accounts.links import MAILS_AN_HOUR
from accounts.models import User
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import keys_of
from tests.accounts.mails import mail_to, mails_to, token_mailed_to, until
from tests.support.people import Person
from tests.support.strangers import content_of

PAGE = "reset-password"


async def forget(anybody: httpx.AsyncClient, email: Any) -> httpx.Response:
    return await anybody.post("/api/auth/password/forgot", json={"email": email})


async def test_it_mails_a_link_to_the_front_end(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await forget(anybody, alice.email)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    message = await mail_to(alice.email, PAGE)
    assert f"http://localhost:5173/reset-password?token={alice.id}." in message.body
    assert message.from_email == "nanobanana <no-reply@localhost>"
    assert (await alice.phone.get("/api/auth/me")).status_code == 200


async def test_the_address_may_be_written_in_any_case(anybody: httpx.AsyncClient, alice: Person) -> None:
    await forget(anybody, f" {alice.email.upper()} ")
    assert await token_mailed_to(alice.email, PAGE)


async def test_the_answer_does_not_tell_whether_there_is_an_account(
    anybody: httpx.AsyncClient, alice: Person, email: str
) -> None:
    known, unknown = await forget(anybody, alice.email), await forget(anybody, email)
    assert (known.status_code, content_of(known)) == (unknown.status_code, content_of(unknown))
    assert {name.lower() for name in known.headers} == {name.lower() for name in unknown.headers}
    await mail_to(alice.email, PAGE)
    assert mails_to(email, PAGE) == []


async def test_a_user_who_is_not_active_gets_no_mail(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    async with unit_of_work(alice.id) as work:
        User.objects.update(work, User(alice.id, alice.id), is_active=False)
    assert (await forget(anybody, alice.email)).status_code == 200
    await forget(anybody, mallory.email)
    await mail_to(mallory.email, PAGE)
    assert mails_to(alice.email, PAGE) == []


async def test_only_a_hash_of_the_token_is_stored_for_an_hour(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await forget(anybody, alice.email)
    secret = (await token_mailed_to(alice.email, PAGE)).partition(".")[2]
    digest = hashlib.sha256(secret.encode()).hexdigest()
    assert 0 < (await keys_of(alice.id))[owner_key(alice.id, "reset", digest)] <= 3600
    stored = [key async for key in get_client().scan_iter("*", count=10_000)]
    assert [key for key in stored if secret in key] == []
    assert secret not in str(await get_client().get(owner_key(alice.id, "reset", digest)))


async def test_nobody_s_mailbox_is_filled(anybody: httpx.AsyncClient, alice: Person, mallory: Person) -> None:
    answers = [await forget(anybody, alice.email) for _ in range(MAILS_AN_HOUR + 3)]
    assert {answer.status_code for answer in answers} == {200}
    await mail_to(alice.email, PAGE, number=MAILS_AN_HOUR)
    await forget(anybody, mallory.email)
    await mail_to(mallory.email, PAGE)
    assert len(mails_to(alice.email, PAGE)) == MAILS_AN_HOUR


async def test_a_mail_that_cannot_be_sent_is_logged_without_its_token(
    anybody: httpx.AsyncClient, alice: Person, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    answer = await forget(anybody, alice.email)
    assert answer.status_code == 200
    await until(lambda: any(record.name == "accounts.mail" for record in caplog.records))
    [logged] = [record for record in caplog.records if record.name == "accounts.mail"]
    assert logged.levelno == logging.ERROR
    assert alice.id in logged.getMessage()
    assert "token" not in caplog.text


async def test_the_answer_does_not_wait_for_the_mail_server(
    anybody: httpx.AsyncClient, alice: Person, settings: Any
) -> None:
    """This one takes the call and then says nothing."""
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", silent.sockets[0].getsockname()[1]
        settings.EMAIL_TIMEOUT = 1
        assert (await forget(anybody, alice.email)).status_code == 200
        await connected.wait()
    assert [each for each in mail.outbox if each.to == [alice.email] and "reset" in str(each.body)] == []


@pytest.mark.parametrize("email", [None, "", "nobody", 5, ["a@example.com"], "a" * 1000 + "@example.com"])
async def test_what_is_no_address_is_refused(anybody: httpx.AsyncClient, email: Any) -> None:
    answer = await forget(anybody, email)
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == {"email"}


async def test_a_megabyte_of_accents_is_refused_at_once(anybody: httpx.AsyncClient, email: str) -> None:
    """To normalize it would take minutes, and the test its time."""
    accents = "\u0301\u0316" * 250_000
    assert (await forget(anybody, f"a{accents}@example.com")).status_code == 400
    body = {"email": email, "password": f"a{accents}"}
    assert (await anybody.post("/api/auth/login", json=body)).status_code == 400
