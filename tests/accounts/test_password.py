"""PUT /api/auth/password"""

import asyncio
from typing import Any

import httpx
import pytest

from accounts.models import Device
from accounts.services import profile, sign_ins
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.accounts.conftest import bearer, sign_in
from tests.accounts.test_me import events_of, stored_password
from tests.support.people import PASSWORD, Person

NEW = "a better horse battery"


def change(current: Any = PASSWORD, new: Any = NEW) -> dict[str, Any]:
    return {"currentPassword": current, "newPassword": new}


async def test_it_signs_every_other_device_out_and_keeps_this_one(
    anybody: httpx.AsyncClient, alice: Person
) -> None:
    await sign_in(anybody, alice)
    answer = await alice.laptop.put("/api/auth/password", change())
    assert answer.status_code == 200
    content = answer.json()
    assert content.keys() == {"message", "token", "refreshToken", "expiresIn"}
    for token in (content["token"], alice.laptop.token):
        assert (await anybody.get("/api/auth/me", headers=bearer(token))).status_code == 200
    refused = await alice.phone.get("/api/auth/me")
    assert (refused.status_code, refused.json()["error"]) == (401, "token_invalid")
    refreshed = await anybody.post("/api/auth/refresh", json={"refreshToken": alice.phone.refresh_token})
    assert refreshed.status_code == 401
    assert len(await Device.objects.some_ids(alice.id)) == 1


async def test_only_the_new_password_signs_in(anybody: httpx.AsyncClient, alice: Person) -> None:
    await alice.put("/api/auth/password", change())
    assert (await sign_in(anybody, alice, PASSWORD)).status_code == 401
    assert (await sign_in(anybody, alice, NEW)).status_code == 200


async def test_the_change_is_told_without_the_password(alice: Person) -> None:
    await alice.laptop.listen((await alice.make_session())["id"])
    answer = await alice.put("/api/auth/password", change())
    assert "argon2" not in answer.text
    assert await events_of(alice) == ["session_created", "user_updated"]
    [frame] = await alice.laptop.heard()
    assert frame["type"] == "user_updated"
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]
    assert "argon2" not in str(frame)


async def test_a_wrong_current_password_changes_nothing(anybody: httpx.AsyncClient, alice: Person) -> None:
    before = await stored_password(alice)
    answer = await alice.put("/api/auth/password", change(current="not the password"))
    assert (answer.status_code, answer.json()["error"]) == (401, "wrong_credentials")
    assert await stored_password(alice) == before
    assert (await alice.phone.get("/api/auth/me")).status_code == 200
    assert await events_of(alice) == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"currentPassword", "newPassword"}),
        (change(new="short"), {"newPassword"}),
        (change(new="x" * 129), {"newPassword"}),
        (change(new=None), {"newPassword"}),
        (change(new=12345678), {"newPassword"}),
        (change(new="null\u0000null"), {"newPassword"}),
        (change(current=None), {"currentPassword"}),
        (change(current="x" * 129), {"currentPassword"}),
        ([change()], {"body"}),
    ],
)
async def test_a_malformed_body_changes_nothing(alice: Person, body: Any, fields: set[str]) -> None:
    before = await stored_password(alice)
    answer = await alice.put("/api/auth/password", body)
    assert answer.status_code == 400
    assert answer.json()["details"].keys() == fields
    assert await stored_password(alice) == before


async def test_of_two_changes_at_once_one_wins_whole(anybody: httpx.AsyncClient, alice: Person) -> None:
    candidates = {alice.laptop: "the laptop's choice", alice.phone: "the phone's choice"}
    answers = await asyncio.gather(
        *[device.put("/api/auth/password", change(new=new)) for device, new in candidates.items()]
    )
    outcomes = sorted(answer.status_code for answer in answers)
    assert outcomes in ([200, 401], [200, 409])
    [winner] = [new for answer, new in zip(answers, candidates.values(), strict=True) if answer.is_success]
    assert (await sign_in(anybody, alice, winner)).status_code == 200
    assert len(await Device.objects.some_ids(alice.id)) == 2


async def test_signing_in_meanwhile_leaves_nobody_in_with_the_old_password(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign-in comes at the worst moment: behind the look at the devices, before the change."""
    latecomer: list[httpx.Response] = []
    look = profile._other_devices

    async def look_and_be_late(visitor: profile.Visitor) -> list[str]:
        others = await look(visitor)
        if not latecomer:
            latecomer.append(await sign_in(anybody, alice, PASSWORD))
        return others

    monkeypatch.setattr(profile, "_other_devices", look_and_be_late)
    assert (await alice.put("/api/auth/password", change())).status_code == 200
    assert latecomer[0].status_code == 200
    refused = await anybody.get("/api/auth/me", headers=bearer(latecomer[0].json()["token"]))
    assert refused.status_code == 401
    assert (await alice.get("/api/auth/me")).status_code == 200


async def test_signing_in_is_refused_when_the_password_changes_underneath(
    anybody: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change comes between the check of the old password and the storing of the new device."""
    check = sign_ins.verify_password

    async def check_and_be_overtaken(password: str, encoded: str | None) -> bool:
        is_right = await check(password, encoded)
        monkeypatch.setattr(sign_ins, "verify_password", check)
        assert (await alice.put("/api/auth/password", change())).status_code == 200
        return is_right

    monkeypatch.setattr(sign_ins, "verify_password", check_and_be_overtaken)
    answer = await sign_in(anybody, alice, PASSWORD)
    assert (answer.status_code, answer.json()["error"]) == (401, "wrong_credentials")
    assert len(await Device.objects.some_ids(alice.id)) == 1


async def test_more_devices_than_go_at_once_are_signed_out_too(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.managers.STEP", 10)
    async with unit_of_work(alice.id) as work:
        for _ in range(35):
            Device.objects.create(work, Device(alice.id, new_id()))
    answer = await alice.put("/api/auth/password", change())
    assert answer.status_code == 200
    assert len(await Device.objects.some_ids(alice.id)) == 1
    assert [device.id async for device in Device.objects.aiterate() if device.owner_id == alice.id] == (
        await Device.objects.some_ids(alice.id)
    )


async def test_the_password_is_of_the_account_alone(
    anybody: httpx.AsyncClient, alice: Person, mallory: Person
) -> None:
    await alice.put("/api/auth/password", change())
    assert (await sign_in(anybody, mallory, PASSWORD)).status_code == 200
    assert (await mallory.phone.get("/api/auth/me")).status_code == 200
    assert await stored_password(mallory) != await stored_password(alice)
