"""Passwords of the seed's server, whose accounts can be brought along: bcryptjs, cost 12"""

import asyncio

import bcrypt
import httpx
import pytest

from accounts.models import Password
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import sign_in
from tests.accounts.test_me import stored_password
from tests.support.people import Person

QUICK = 4  # rounds, as the strength is not what these tests are about


async def bring_along(person: Person, password: str, prefix: bytes = b"2a") -> None:
    """Have the person's password stand as that server stored it."""
    digest = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(QUICK, prefix))
    await keep(person, f"bcrypt${digest.decode()}")


async def keep(person: Person, encoded: str) -> None:
    async with unit_of_work(person.id) as work:
        Password.objects.update(work, Password(person.id, person.id), encoded=encoded)


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
async def test_it_signs_in_and_is_hashed_anew(
    anybody: httpx.AsyncClient, alice: Person, prefix: bytes
) -> None:
    await bring_along(alice, "password123", prefix)
    for _ in range(2):
        assert (await sign_in(anybody, alice, "password123")).status_code == 200
        assert (await stored_password(alice)).startswith("argon2$argon2id$")
    assert (await sign_in(anybody, alice, "password124")).status_code == 401


async def test_a_hash_that_another_program_made_is_understood(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    """A test vector of Openwall's crypt_blowfish."""
    await keep(alice, "bcrypt$$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    assert (await sign_in(anybody, alice, "U*U")).status_code == 200


@pytest.mark.parametrize("damaged", [f"$2y$10${'a' * 53}", f"$2b$99${'a' * 53}", "$2a$10$é", ""])
async def test_a_damaged_hash_is_a_wrong_password_and_is_logged(
    anybody: httpx.AsyncClient, alice: Person, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(alice, f"bcrypt${damaged}")
    assert (await sign_in(anybody, alice, "password123")).status_code == 401
    [logged] = [record for record in caplog.records if record.name == "accounts.passwords"]
    assert "damaged" in logged.getMessage()
    assert logged.exc_info is None
    assert len(damaged) < 3 or damaged not in caplog.text


async def test_a_wrong_password_leaves_the_hash(anybody: httpx.AsyncClient, alice: Person) -> None:
    await bring_along(alice, "password123")
    assert (await sign_in(anybody, alice, "password124")).status_code == 401
    assert (await stored_password(alice)).startswith("bcrypt$")


async def test_devices_that_sign_in_at_once_all_succeed(anybody: httpx.AsyncClient, alice: Person) -> None:
    """The first one changes the hash under the others."""
    await bring_along(alice, "password123")
    answers = await asyncio.gather(*[sign_in(anybody, alice, "password123") for _ in range(5)])
    assert [answer.status_code for answer in answers] == [200] * 5


async def test_it_was_hashed_as_it_was_typed(anybody: httpx.AsyncClient, alice: Person) -> None:
    """That server did not normalize; once hashed anew, every way to type it is right."""
    await bring_along(alice, "cre\u0300me bru\u0302le\u0301e")
    assert (await sign_in(anybody, alice, "crème brûlée")).status_code == 401
    assert (await sign_in(anybody, alice, "cre\u0300me bru\u0302le\u0301e")).status_code == 200
    assert (await sign_in(anybody, alice, "crème brûlée")).status_code == 200


async def test_it_was_hashed_by_its_first_72_bytes(anybody: httpx.AsyncClient, alice: Person) -> None:
    await bring_along(alice, "🍌" * 20)
    assert (await sign_in(anybody, alice, "🍌" * 20)).status_code == 200
    assert (await sign_in(anybody, alice, "🍌" * 19)).status_code == 401


async def test_the_current_password_may_be_such_a_one(anybody: httpx.AsyncClient, alice: Person) -> None:
    await bring_along(alice, "password123")
    body = {"currentPassword": "password123", "newPassword": "a better horse battery"}
    assert (await alice.put("/api/auth/password", body)).status_code == 200
    assert (await sign_in(anybody, alice, "a better horse battery")).status_code == 200


async def test_an_argon2_hash_of_older_strength_is_made_anew(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.passwords.Argon2idHasher.memory_cost", 128)
    assert (await sign_in(anybody, alice)).status_code == 200
    assert "m=128," in await stored_password(alice)
