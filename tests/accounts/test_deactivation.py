"""Shutting a user out, and letting the user in again."""

import httpx
import pytest

from accounts.models import Device
from accounts.services import sign_ins
from accounts.services.profile import activate_account, deactivate_account
from tests.accounts.conftest import assert_signed_in, assert_signed_out, close_code, sign_in
from tests.accounts.test_me import events_of, stored
from tests.support.people import Person


async def test_a_deactivated_user_is_out_at_once(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    session_id = (await alice.make_session())["id"]
    for device in (alice.laptop, alice.phone):
        await device.listen(session_id)
    await deactivate_account(user=await stored(alice))
    for device in (alice.laptop, alice.phone):
        await assert_signed_out(anybody, device.token, device.refresh_token)
        assert await close_code(device) == 4401
    assert (await sign_in(anybody, alice)).json()["error"] == "wrong_credentials"
    assert await Device.objects.some_ids(alice.id) == []
    await assert_signed_in(anybody, mallory.phone.token)


async def test_an_activated_user_signs_in_again_and_has_everything(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    session = await alice.make_session("Kept")
    await deactivate_account(user=await stored(alice))
    await activate_account(user=await stored(alice))
    await assert_signed_out(anybody, alice.phone.token, alice.phone.refresh_token)
    signed_in = await sign_in(anybody, alice)
    assert signed_in.json()["user"]["isActive"] is True
    alice.laptop.token = signed_in.json()["token"]
    assert (await alice.laptop.get(f"/api/sessions/{session['id']}")).json()["session"]["title"] == "Kept"


async def test_what_changes_nothing_is_not_told(alice: Person) -> None:
    await activate_account(user=await stored(alice))
    assert await events_of(alice) == []
    for _ in range(2):
        await deactivate_account(user=await stored(alice))
    assert await events_of(alice) == ["user_updated"]
    assert (await stored(alice)).is_active is False


async def test_signing_in_is_refused_when_the_user_is_deactivated_underneath(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the check of the password and the storing of the new device."""
    check = sign_ins.verify_password

    async def check_and_be_overtaken(password: str, encoded: str | None) -> bool:
        is_right = await check(password, encoded)
        await deactivate_account(user=await stored(alice))
        return is_right

    monkeypatch.setattr(sign_ins, "verify_password", check_and_be_overtaken)
    answer = await sign_in(anybody, alice)
    assert (answer.status_code, answer.json()["error"]) == (401, "wrong_credentials")
    assert await Device.objects.some_ids(alice.id) == []
