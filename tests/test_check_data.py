"""`manage.py check_data`, which other tests rely on: every kind of fault is found, and mended if it can be"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import CommandError

from accounts.services.claims import addresses, check_holder
from chats.managers import NOTES
from media_store.models import Image
from media_store.storage import get_storage
from nanobanana.data_check import (
    RESTORING,
    check_everything,
    check_restore,
    check_shared,
    check_user,
    check_users,
)
from nanobanana.redisdb.checking import Findings, Look, Miscount
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from nanobanana.redisdb.walking import keys_of
from tests.support.commands import run, run_for_json
from tests.support.consistency import inconsistencies
from tests.support.people import Person, picture


@dataclass
class Chat:
    """A session with one message, which shows an image, and another image that none shows."""

    user_id: str
    session_id: str
    message_id: str
    shown_id: str
    unused_id: str
    blob_id: str  # of both

    @property
    def shown_prefix(self) -> str:
        return f"{self.user_id}/{self.blob_id}"

    def key(self, *parts: str) -> str:
        return owner_key(self.user_id, *parts)


@pytest.fixture
async def chat(alice: Person) -> Chat:
    session = await alice.make_session()
    shown, unused = [await alice.make_image(session["id"]) for _ in range(2)]
    message = await alice.make_message(session["id"], imageIds=[shown["id"]])
    blob_id = (await Image.objects.aget(alice.id, shown["id"])).blob_id
    return Chat(alice.id, session["id"], message["id"], shown["id"], unused["id"], blob_id)


async def test_it_finds_nothing_where_all_is_well(chat: Chat) -> None:
    assert await inconsistencies([chat.user_id]) == []


DAMAGES: dict[str, Callable[[Any, Chat], Awaitable[Any]]] = {
    "which does not belong there": lambda redis, chat: redis.delete(chat.key("message", chat.message_id)),
    "does not list": lambda redis, chat: redis.zrem(
        chat.key("session", chat.session_id, "messages"), chat.message_id
    ),
    "instead of": lambda redis, chat: redis.zincrby(chat.key("sessions"), 1, chat.session_id),
    "images:unreferenced does not list": lambda redis, chat: redis.delete(chat.key("images", "unreferenced")),
    "images:unreferenced lists": lambda redis, chat: redis.zadd(
        chat.key("images", "unreferenced"), {chat.shown_id: 1}
    ),
    "counts 2 in message_count of 1": lambda redis, chat: redis.hincrby(
        chat.key("session", chat.session_id), "message_count", 1
    ),
    "counts 3 in ref_count of 1": lambda redis, chat: redis.hincrby(
        chat.key("image", chat.shown_id), "ref_count", 2
    ),
    "(image_ids), which does not exist": lambda redis, chat: redis.delete(chat.key("image", chat.shown_id)),
    "(session_id), which does not exist": lambda redis, chat: redis.delete(
        chat.key("session", chat.session_id)
    ),
    "cannot be read": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id), "created_at", "yesterday"
    ),
    "is not as old as its id": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id), "created_at", "1"
    ),
    "belongs to no model": lambda redis, chat: redis.hset(chat.key("nonsense", chat.message_id), "a", "b"),
    "edits lists": lambda redis, chat: redis.zadd(
        chat.key("session", chat.session_id, "edits"), {chat.message_id: 1}
    ),
    "revisions is of no message": lambda redis, chat: redis.hset(
        chat.key("message", chat.unused_id, "revisions"), "0", "{}"
    ),
    "of a message at 0": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id, "revisions"), "0", "{}"
    ),
    "has None bytes of its thumb": lambda redis, chat: get_storage().delete(f"{chat.shown_prefix}/thumb"),
    "bytes of its original": lambda redis, chat: get_storage().put(f"{chat.shown_prefix}/original", b"short"),
    "is of no blob": lambda redis, chat: get_storage().put(f"{chat.user_id}/{'0' * 26}/original", b"lost"),
    "counts 3 in holders of 2": lambda redis, chat: redis.hincrby(
        chat.key("blob", chat.blob_id), "holders", 1
    ),
    "is planned and has 2 holders": lambda redis, chat: redis.hset(
        chat.key("blob", chat.blob_id), "is_stored", "0"
    ),
    "(blob_id), which does not exist": lambda redis, chat: redis.delete(chat.key("blob", chat.blob_id)),
    "doomed lists": lambda redis, chat: redis.zadd(chat.key("blobs", "doomed"), {chat.blob_id: 1}),
    "The log of": lambda redis, chat: redis.xdel(chat.key("events"), "2-0"),
    "sessions cannot be read": lambda redis, chat: redis.set(chat.key("sessions"), "a word"),
    "has [-1] of a message": lambda redis, chat: redis.hset(
        chat.key("message", chat.message_id, "revisions"), "first", "{}"
    ),
    "titles lists": lambda redis, chat: redis.zadd(chat.key("titles"), {b"\xff": 0}),
    "and has": lambda redis, chat: redis.hincrby(chat.key("log"), "offset", 1),
    "log cannot be read: invalid": lambda redis, chat: redis.hset(chat.key("log"), "offset", "abc"),
    "counts abc in images of 2": lambda redis, chat: redis.hset(
        chat.key("usage", chat.user_id), "images", "abc"
    ),
    "cannot be read: created_at": lambda redis, chat: redis.hset(
        chat.key("user", chat.user_id), "created_at", "abc"
    ),
    "cannot be read: trash sorts by": lambda redis, chat: redis.copy(
        chat.key("session", chat.session_id), chat.key("trashed-session", chat.session_id)
    ),
}


CANNOT_BE_MENDED = {
    "(session_id), which does not exist",
    "cannot be read",
    "is not as old as its id",
    "log cannot be read",
    "belongs to no model",
    "of a message",
    "bytes of its thumb",
    "bytes of its original",
    "is of no blob",
    "is planned and has 2 holders",
    "(blob_id), which does not exist",
}


def is_mendable(sentence: str) -> bool:
    return not any(part in sentence for part in CANNOT_BE_MENDED)


@pytest.mark.parametrize("sentence", DAMAGES)
async def test_it_finds_each_kind_of_fault_and_mends_what_can_be(chat: Chat, sentence: str) -> None:
    await DAMAGES[sentence](get_client(), chat)
    assert any(sentence in fault for fault in await inconsistencies([chat.user_id]))
    findings = await check_users([chat.user_id], repair=True)
    if is_mendable(sentence):
        assert any(sentence in fault for fault in findings.mended)
        assert await inconsistencies([chat.user_id]) == []
    else:
        assert not any(sentence in fault for fault in findings.mended)
        assert any(sentence in fault for fault in await inconsistencies([chat.user_id]))


KEYS: dict[str, Callable[[Chat], str]] = {
    "message": lambda chat: chat.key("message", chat.message_id),
    "account": lambda chat: chat.key("user", chat.user_id),
    "usage": lambda chat: chat.key("usage", chat.user_id),
    "list of pictures": lambda chat: chat.key("images"),
    "versions": lambda chat: chat.key("message", chat.message_id, "revisions"),
    "log": lambda chat: chat.key("log"),
    "events": lambda chat: chat.key("events"),
    "terms": lambda chat: chat.key("terms"),
}


@pytest.mark.parametrize("what", KEYS)
@pytest.mark.parametrize("repair", [False, True])
async def test_a_key_of_another_type_is_named_and_stops_nothing(chat: Chat, what: str, repair: bool) -> None:
    key, redis = KEYS[what](chat), get_client()
    await redis.unlink(key)
    await redis.rpush(key, "a word")
    await redis.zrem(chat.key("titles"), *await redis.zrange(chat.key("titles"), 0, 0))
    findings = await check_users([chat.user_id], repair=repair)
    assert any(fault.startswith(f"{key} cannot be read: WRONGTYPE") for fault in findings.faults)
    assert any("titles does not list" in fault for fault in findings.faults + findings.mended)
    assert await redis.lrange(key, 0, -1) == ["a word"]
    await redis.unlink(*await keys_of(chat.user_id))


GLOBAL = {
    "nb:deletions": lambda chat: check_shared(),
    "nb:trash": lambda chat: check_shared(),
    "nb:sweep": lambda chat: check_users([chat.user_id]),
    "nb:restoring": lambda chat: check_restore(),
}


@pytest.mark.parametrize("key", GLOBAL)
async def test_a_key_of_nobody_that_is_of_another_type_is_named(chat: Chat, key: str) -> None:
    redis = get_client()
    kept = await redis.dump(key)
    await redis.unlink(key)
    await redis.rpush(key, "a word")
    try:
        findings = await GLOBAL[key](chat)
    finally:
        await redis.unlink(key)
        if kept:
            await redis.restore(key, 0, kept)
    assert [fault.startswith(key) for fault in findings.faults] == [True]


async def test_a_restore_that_nobody_began_is_named(server: object) -> None:
    await get_client().set(RESTORING, "nonsense")
    findings = await check_restore()
    await get_client().unlink(RESTORING)
    assert ["nb:restoring cannot be read" in fault for fault in findings.faults] == [True]


async def test_what_nobody_thought_of_is_told_and_others_are_checked(
    chat: Chat, mallory: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("nobody thought of this")

    await get_client().unlink(global_key("email", mallory.email))
    with monkeypatch.context() as patch:
        patch.setattr(Look, "_hashes", broken)
        findings = await check_users([chat.user_id, mallory.id], repair=True)
    told = [
        f"What {each} has could not be checked to the end: nobody thought of this"
        for each in (chat.user_id, mallory.id)
    ]
    assert findings.faults == told
    assert ["The address" in each for each in findings.mended] == [True]


async def test_bytes_that_are_no_text_are_told_and_mended(chat: Chat) -> None:
    await get_client().zadd(chat.key("sessions"), {b"\xff\xfe": 1})
    with pytest.raises(CommandError, match="1 fault"):
        await run("check_data", "--user", chat.user_id, "--json")
    answer = json.loads(await run("check_data", "--user", chat.user_id, "--repair", "--json"))
    assert answer["mended"] == [f"{chat.key('sessions')} lists \udcff\udcfe, which does not belong there."]
    address = "nobody\udcff@example.com"
    await get_client().set(global_key("email", address), "0" * 26)
    findings = Findings()
    await check_holder(findings=findings, address=address, user_id="0" * 26, repair=True)
    assert findings.mended[0].startswith(f"The address {address} is")
    assert await get_client().get(global_key("email", address)) is None


async def test_a_fault_of_one_is_none_of_others(chat: Chat, alice: Person, mallory: Person) -> None:
    before = await alice.position()
    await get_client().zrem(chat.key("sessions"), chat.session_id)
    assert await inconsistencies([mallory.id]) == []
    await check_users([alice.id], repair=True)
    synced = await alice.get(f"/api/sync?since={before}")
    assert synced.json()["resyncRequired"] is True


async def test_devices_hear_that_something_was_mended(chat: Chat, alice: Person) -> None:
    await alice.phone.listen(chat.session_id)
    await get_client().zrem(chat.key("session", chat.session_id, "messages"), chat.message_id)
    await check_users([alice.id], repair=True)
    assert (await alice.phone.next_frame())["type"] == "resync_required"
    await alice.make_message(chat.session_id)
    assert await alice.phone.heard_types(at_least=2) == ["message_created", "session_updated"]


async def test_a_check_tells_nobody_anything(chat: Chat, alice: Person) -> None:
    before = await alice.position()
    await get_client().zrem(chat.key("sessions"), chat.session_id)
    await check_users([alice.id])
    assert await alice.position() == before
    assert await get_client().zscore(chat.key("sessions"), chat.session_id) is None


async def test_everything_gone_wrong_at_once_is_mended(chat: Chat, alice: Person) -> None:
    redis = get_client()
    wrong = [name for name in filter(is_mendable, DAMAGES) if not name.startswith("(image_ids)")]
    for sentence in wrong:
        if sentence != "which does not belong there":
            await DAMAGES[sentence](redis, chat)
    await redis.unlink(chat.key("term", "*"), chat.key("titles"), chat.key("sessions"))
    findings = await check_users([alice.id], repair=True)
    assert findings.faults == []
    assert len(findings.mended) >= len(wrong)
    assert await inconsistencies([alice.id]) == []
    assert (await alice.get("/api/search?q=Hello")).json()["results"][0]["message"]["id"] == chat.message_id


async def test_it_finds_who_is_not_noted_for_the_purge(alice: Person, chat: Chat) -> None:
    await alice.delete(f"/api/sessions/{chat.session_id}")
    assert await inconsistencies([alice.id]) == []
    await get_client().zincrby(NOTES.key, 60_000, alice.id)
    assert ["has something to do from" in fault for fault in await inconsistencies([alice.id])] == [True]
    await get_client().zrem(NOTES.key, alice.id)
    assert ["has something to do from" in fault for fault in await inconsistencies([alice.id])] == [True]
    assert len((await check_users([alice.id], repair=True)).mended) == 1
    assert await inconsistencies([alice.id]) == []


# ---- addresses and accounts
async def test_an_address_that_is_lost_is_given_back(alice: Person) -> None:
    claim = global_key("email", alice.email)
    for holder in (None, "0" * 26, "pending:" + "0" * 26):
        await (get_client().set(claim, holder) if holder else get_client().unlink(claim))
        assert ["The address" in fault for fault in await inconsistencies([alice.id])] == [True]
        assert len((await check_users([alice.id], repair=True)).mended) == 1
        assert await get_client().get(claim) == alice.id


async def test_an_address_that_two_have_is_for_people_to_decide(alice: Person, mallory: Person) -> None:
    claim, user_key = global_key("email", alice.email), owner_key(mallory.id, "user", mallory.id)
    await get_client().set(claim, mallory.id)
    await get_client().hset(user_key, "email", alice.email)
    findings = await check_users([alice.id], repair=True)
    assert (len(findings.faults), findings.mended) == (1, [])
    assert await get_client().get(claim) == mallory.id
    await get_client().set(claim, alice.id)
    await get_client().hset(user_key, "email", mallory.email)


async def test_an_address_in_the_hands_of_somebody_else_is_given_back_at_once(
    alice: Person, mallory: Person
) -> None:
    claim = global_key("email", alice.email)
    await get_client().set(claim, mallory.id)
    findings = await check_users([alice.id, mallory.id], repair=True)
    assert (findings.faults, len(findings.mended)) == ([], 1)
    assert await get_client().get(claim) == alice.id


async def test_the_address_of_an_account_that_cannot_be_read_is_kept(alice: Person) -> None:
    user_key, claim = owner_key(alice.id, "user", alice.id), global_key("email", alice.email)
    await get_client().hdel(user_key, "email")
    findings = await check_users([alice.id], repair=True)
    await check_holder(findings=findings, address=alice.email, user_id=alice.id, repair=True)
    assert [fault.startswith(f"{user_key} cannot be read") for fault in findings.faults] == [True]
    assert await get_client().get(claim) == alice.id
    for name in (alice.id, alice.email):
        with pytest.raises(CommandError, match="1 fault"):
            await run("check_data", "--user", name)
    await get_client().hset(user_key, "email", alice.email)


async def test_an_address_whose_claim_is_of_another_type_is_told(alice: Person) -> None:
    claim = global_key("email", alice.email)
    await get_client().unlink(claim)
    await get_client().rpush(claim, "a word")
    findings = await check_users([alice.id], repair=True)
    assert [f"{alice.email} of {alice.id} is cannot be read" in each for each in findings.faults] == [True]
    await get_client().unlink(claim)


async def test_addresses_of_nobody_are_freed(alice: Person) -> None:
    address, user_id = f"nobody-{alice.email}", "0" * 26
    await get_client().set(global_key("email", address), user_id)
    findings = Findings()
    await check_holder(findings=findings, address=address, user_id=user_id, repair=False)
    assert findings.faults == [f"The address {address} is that of {user_id}, who does not have it."]
    await check_holder(findings=findings, address=address, user_id=user_id, repair=True)
    assert len(findings.mended) == 1
    assert await get_client().get(global_key("email", address)) is None
    assert (address, user_id) not in [each async for each in addresses()]
    assert (alice.email, alice.id) in [each async for each in addresses()]


async def test_a_registration_under_way_is_no_fault(alice: Person) -> None:
    user_key = owner_key(alice.id, "user", alice.id)
    await get_client().pexpire(user_key, 60_000)
    await get_client().set(global_key("email", alice.email), f"pending:{alice.id}")
    assert await inconsistencies([alice.id]) == []


async def test_what_has_no_account_is_told(alice: Person, chat: Chat) -> None:
    await get_client().unlink(owner_key(alice.id, "user", alice.id))
    findings = await check_users([alice.id], repair=True)
    assert ["and no account" in fault for fault in findings.faults] == [True]
    await get_client().hset(global_key("deletions"), alice.id, alice.email)
    assert (await check_users([alice.id])).faults == []
    await get_client().hdel(global_key("deletions"), alice.id)


async def test_an_account_that_goes_meanwhile_is_no_fault(alice: Person, chat: Chat) -> None:
    keys = await keys_of(alice.id)
    await alice.delete("/api/auth/me", {"password": alice.password})
    assert (await check_user(alice.id, keys)).faults == []


# ---- others write
async def test_who_writes_meanwhile_raises_no_alarm(alice: Person, chat: Chat) -> None:
    checks = 0
    writing = asyncio.create_task(write_a_lot(alice, chat))
    while not writing.done():
        findings = await check_users([alice.id], repair=True)
        assert (findings.faults, findings.mended) == ([], [])
        checks += 1
    await writing
    assert checks > 1
    assert await inconsistencies([alice.id]) == []


async def write_a_lot(alice: Person, chat: Chat) -> None:
    async def write(number: int) -> None:
        session = await alice.make_session(f"Session {number}")
        own = await alice.make_image(session["id"], picture(colour=f"#{number:06x}"))
        await alice.make_message(session["id"], imageIds=[own["id"]])
        for turn in range(4):
            shown = [chat.shown_id, chat.unused_id][: turn % 3]
            message = await alice.make_message(chat.session_id, f"text {number} {turn}", imageIds=shown)
            await alice.put(f"/api/messages/{message['id']}", {"imageIds": [chat.unused_id]})
            await alice.put(f"/api/sessions/{session['id']}", {"pinned": bool(turn % 2), "tags": [str(turn)]})
            if turn % 2:
                await alice.delete(f"/api/messages/{message['id']}")
        await alice.delete(f"/api/sessions/{session['id']}?permanent=true")

    await asyncio.gather(*[write(number) for number in range(4)])


async def test_a_fault_among_many_writes_is_found_and_mended(alice: Person, chat: Chat) -> None:
    writing = asyncio.create_task(write_a_lot(alice, chat))
    await get_client().hincrby(chat.key("image", chat.shown_id), "ref_count", 5)
    findings = await check_users([alice.id], repair=True)
    await writing
    findings.add(await check_users([alice.id], repair=True))
    assert any(f"{chat.shown_id} counts" in fault for fault in findings.mended)
    assert await inconsistencies([alice.id]) == []


async def test_what_is_counted_all_the_time_is_not_judged(
    alice: Person, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_again = Miscount._count_again

    async def overtaken(miscount: Miscount) -> int | None:
        await get_client().hincrby(chat.key("image", chat.shown_id), "ref_count", 1)
        return await count_again(miscount)

    monkeypatch.setattr(Miscount, "_count_again", overtaken)
    await get_client().hincrby(chat.key("image", chat.shown_id), "ref_count", 5)
    findings = await check_users([alice.id], repair=True)
    assert ["counted all the time" in each for each in findings.unsettled] == [True]
    assert (findings.faults, findings.mended) == ([], [])


# ---- the command
async def test_the_command_says_what_it_found(alice: Person, chat: Chat) -> None:
    assert await run("check_data", "--user", alice.email) == "Checked 1 user. All agrees.\n"
    await get_client().zrem(chat.key("sessions"), chat.session_id)
    await get_client().hset(chat.key("nonsense", chat.message_id), "a", "b")
    with pytest.raises(CommandError, match=r"^2 faults: --repair mends what can be mended\.$"):
        await run("check_data", "--user", alice.id)
    with pytest.raises(CommandError, match=r"^1 fault: cannot be mended by itself\.$"):
        await run("check_data", "--user", alice.id, "--repair")
    await get_client().unlink(chat.key("nonsense", chat.message_id))
    answer = await run_for_json("check_data", "--user", alice.id, "--repair")
    assert answer == {"users": 1, "faults": [], "mended": [], "unsettled": []}


async def test_the_command_goes_over_everybody(alice: Person, mallory: Person, chat: Chat) -> None:
    address = global_key("email", f"nobody-{alice.email}")
    await get_client().set(address, "0" * 26)
    await get_client().zrem(chat.key("sessions"), chat.session_id)
    found: list[str] = []
    async for findings in check_everything():
        found += findings.faults
    for fault in (f"does not list {chat.session_id}", f"nobody-{alice.email} is that of"):
        assert sum(fault in each for each in found) == 1
    assert not any(mallory.id in each for each in found)
    await get_client().unlink(address)


@pytest.mark.parametrize("name", ["nobody@example.com", ""])
async def test_nobody_is_nobody(server: object, name: str) -> None:
    with pytest.raises(CommandError, match="There is no user"):
        await run("check_data", "--user", name)
