"""`manage.py createuser`, `listusers`, `set_password`, `deactivate`, `reactivate`, `delete_user`"""

import httpx
import pytest
from django.core.management import CommandError

from accounts.models import User
from accounts.services.access import find_user
from accounts.services.directory import Filter, find_accounts
from nanobanana.management import prompts
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from tests.accounts.conftest import assert_signed_in, assert_signed_out, close_code, sign_in
from tests.support.commands import run, run_for_json
from tests.support.consistency import inconsistencies
from tests.support.people import PASSWORD, Person

NEW_PASSWORD = "another horse battery"


@pytest.fixture
async def newcomer(email: str, server: object) -> User:
    await run("createuser", email, typed=PASSWORD)
    user = await find_user(email)
    assert user
    return user


async def test_an_account_is_made_and_signs_in(anybody: httpx.AsyncClient, email: str) -> None:
    answer = await run_for_json("createuser", email.upper(), "--username", "Ann", typed=f"{PASSWORD}\n")
    user = answer["user"]
    assert (user["email"], user["username"], user["emailVerified"]) == (email, "Ann", False)
    assert (user["lastLoginAt"], user["isActive"]) == (None, True)
    body = {"email": email, "password": PASSWORD}
    assert (await anybody.post("/api/auth/login", json=body)).json()["user"]["id"] == user["id"]
    assert await inconsistencies([user["id"]]) == []
    assert [await get_client().ttl(key) for key in lasting_keys(user["id"], email)] == [-1] * 4


def lasting_keys(user_id: str, email: str) -> list[str]:
    own = [owner_key(user_id, *parts) for parts in (("user", user_id), ("password", user_id), ("log",))]
    return [*own, global_key("email", email)]


async def test_the_name_is_what_stands_before_the_at(newcomer: User) -> None:
    assert newcomer.username == newcomer.email.partition("@")[0]
    assert newcomer.email_verified is False


async def test_an_address_is_one_users(newcomer: User) -> None:
    with pytest.raises(CommandError, match="exists"):
        await run("createuser", newcomer.email.upper(), typed=PASSWORD)
    found = await find_user(newcomer.email)
    assert found
    assert found.id == newcomer.id


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (["nonsense"], PASSWORD, "email: Enter a valid email address."),
        (["ann@example.com", "--username", "x"], PASSWORD, "username: "),
        (["ann@example.com"], "", "password: "),
        (["ann@example.com"], "short", "password: "),
        (["\udcff@example.com"], PASSWORD, "email: "),
    ],
)
async def test_nonsense_makes_no_account(arguments: list[str], typed: str, sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        await run("createuser", *arguments, typed=typed)


async def test_a_terminal_is_asked_twice(email: str, server: object, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [PASSWORD, NEW_PASSWORD, PASSWORD, PASSWORD]
    monkeypatch.setattr(prompts, "getpass", lambda prompt: answers.pop(0))
    with pytest.raises(CommandError, match="The two passwords differ"):
        await run("createuser", email, on_terminal=True)
    assert await find_user(email) is None
    assert "Made the account" in await run("createuser", email, on_terminal=True)


async def test_a_new_password_signs_everybody_out(anybody: httpx.AsyncClient, alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    await alice.phone.listen(session_id)
    answer = await run("set_password", alice.email, typed=f"{NEW_PASSWORD}\n")
    assert answer == f"{alice.email} has a new password.\n"
    for device in (alice.laptop, alice.phone):
        await assert_signed_out(anybody, device.token, device.refresh_token)
    assert await close_code(alice.phone) == 4401
    assert (await sign_in(anybody, alice, PASSWORD)).status_code == 401
    assert (await sign_in(anybody, alice, NEW_PASSWORD)).status_code == 200
    assert await inconsistencies([alice.id]) == []


async def test_who_is_locked_out_may_try_again(anybody: httpx.AsyncClient, alice: Person) -> None:
    for _ in range(6):
        locked = await sign_in(anybody, alice, "wrong password")
    assert locked.status_code == 429
    await run("set_password", alice.id, typed=NEW_PASSWORD)
    assert (await sign_in(anybody, alice, NEW_PASSWORD)).status_code == 200


async def test_a_password_that_is_none_changes_nothing(anybody: httpx.AsyncClient, alice: Person) -> None:
    with pytest.raises(CommandError, match="password: "):
        await run("set_password", alice.id, typed="short")
    await assert_signed_in(anybody, alice.phone.token)
    assert (await sign_in(anybody, alice)).status_code == 200


async def test_a_user_is_shut_out_and_let_in(anybody: httpx.AsyncClient, alice: Person) -> None:
    answer = await run_for_json("deactivate", alice.email)
    assert (answer["user"]["id"], answer["user"]["isActive"]) == (alice.id, False)
    await assert_signed_out(anybody, alice.laptop.token, alice.laptop.refresh_token)
    assert (await sign_in(anybody, alice)).status_code == 401
    await run("deactivate", alice.id)  # a second time is no matter
    assert await run("reactivate", alice.id) == f"{alice.email} may sign in.\n"
    assert (await sign_in(anybody, alice)).status_code == 200


async def test_an_account_goes_with_all_it_has(anybody: httpx.AsyncClient, alice: Person) -> None:
    session = await alice.make_session()
    await alice.make_image(session["id"])
    with pytest.raises(CommandError, match="say --yes"):
        await run("delete_user", alice.email)
    with pytest.raises(CommandError, match="Nothing is deleted"):
        await run("delete_user", alice.email, typed="somebody@example.com\n", on_terminal=True)
    await assert_signed_in(anybody, alice.laptop.token)
    await run("delete_user", alice.email, typed=f"{alice.email}\n", on_terminal=True)
    await assert_signed_out(anybody, alice.laptop.token, alice.laptop.refresh_token)
    kept = [key async for key in get_client().scan_iter(owner_key(alice.id, "*"))]
    assert [key for key in kept if await get_client().ttl(key) < 0] == []
    assert (await run_for_json("createuser", alice.email, typed=PASSWORD))["user"]["id"] != alice.id


async def test_accounts_are_listed_page_by_page(newcomer: User, alice: Person, mallory: Person) -> None:
    await run("deactivate", mallory.id)
    one = await run_for_json("listusers", "--search", newcomer.email.upper())
    assert ([user["id"] for user in one["users"]], one["total"]) == ([newcomer.id], 1)
    everybody = await run_for_json("listusers", "--limit", "10000")
    ids = [user["id"] for user in everybody["users"]]
    assert ids == sorted(ids)
    assert {alice.id, mallory.id, newcomer.id} <= set(ids)
    page = await run_for_json("listusers", "--limit", 1, "--after", ids[-3])
    assert ([user["id"] for user in page["users"]], page["total"]) == ([ids[-2]], everybody["total"])
    assert page["nextAfter"] == ids[-2]
    shut_out = await run("listusers", "--inactive", "--search", mallory.email)
    assert shut_out.splitlines()[0].endswith(f"{mallory.email}  Mallory  shut out")
    assert "0 accounts." in await run("listusers", "--active", "--search", mallory.email)


async def test_a_page_is_the_oldest_ones_whatever_order_they_come_in(
    newcomer: User, alice: Person, mallory: Person
) -> None:
    everybody = await find_accounts(Filter(), limit=10_000)
    pages = []
    last = ""
    while (page := await find_accounts(Filter(), after=last, limit=2)).users:
        pages += page.users
        last = page.users[-1].id
    assert pages == everybody.users


@pytest.mark.parametrize("limit", ["0", "-1", "10001"])
async def test_a_page_has_a_size(limit: str) -> None:
    with pytest.raises(CommandError, match="--limit"):
        await run("listusers", f"--limit={limit}")


async def test_an_account_that_cannot_be_read_is_passed_over_and_told(newcomer: User, alice: Person) -> None:
    await get_client().hdel(newcomer.key, "email")
    listed = await run("listusers", "--search", alice.email)
    for command in (["set_password"], ["delete_user", "--yes"]):
        with pytest.raises(CommandError, match="cannot be read"):
            await run(command[0], newcomer.id, *command[1:], typed=PASSWORD)
    await get_client().hset(newcomer.key, "email", newcomer.email)
    assert f"{newcomer.id} cannot be read: see check_data.\n1 account." in listed


@pytest.mark.parametrize("command", ["set_password", "deactivate", "reactivate", "delete_user"])
@pytest.mark.parametrize("name", ["nobody@example.com", "nonsense", "0" * 26, "user:*", ""])
async def test_nobody_is_nobody(server: object, command: str, name: str) -> None:
    with pytest.raises(CommandError, match="There is no user"):
        await run(command, name, typed=PASSWORD)
