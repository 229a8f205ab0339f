"""`manage.py backup`, `manage.py restore`"""

import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.management import CommandError

from accounts.models import Device, User
from media_store.storage import get_storage
from nanobanana.backups import Backup, BackupWriter, Manifest, UnusableBackup
from nanobanana.data_check import RESTORING, check_restore, check_users
from nanobanana.redisdb import snapshots
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.keys import global_key, owner_key
from nanobanana.redisdb.snapshots import Snapshots
from nanobanana.redisdb.walking import keys_of
from nanobanana.restoring import back_up
from tests.accounts.conftest import assert_signed_in, assert_signed_out, sign_in
from tests.support.commands import run, run_for_json
from tests.support.consistency import inconsistencies
from tests.support.people import Person


@pytest.fixture
async def filled(alice: Person) -> str:
    """A session with a bit of everything: its id."""
    session_id = (await alice.make_session("Cats"))["id"]
    image = await alice.make_image(session_id)
    await alice.make_image(session_id)
    message = await alice.make_message(session_id, "red 猫", imageIds=[image["id"]], params={"a": ["ü", 1]})
    await alice.put(f"/api/messages/{message['id']}", {"text": "blue 猫\x01"})
    await alice.make_message(session_id, "answer", editedOf=message["id"])
    await alice.put(f"/api/sessions/{session_id}", {"pinned": True, "tags": ["one", "two"]})
    trashed = await alice.make_session("Trashed")
    await alice.make_message(trashed["id"])
    await alice.delete(f"/api/sessions/{trashed['id']}")
    return session_id


async def contents_of(user_id: str) -> dict[str, Any]:
    """Everything that lasts, but where the log is, and since when pictures are unreferenced."""
    redis, found = get_client(), {}
    for key in await keys_of(user_id):
        kind = await redis.type(key)
        if kind == "hash" and not key.endswith(":log"):
            found[key] = await redis.hgetall(key)
        elif kind == "zset" and not key.endswith((":presence", ":images:unreferenced", ":blobs:planned")):
            found[key] = await redis.zrange(key, 0, -1, withscores=True)
    return found


async def lose(person: Person) -> None:
    """All that the person has in the database."""
    await get_client().unlink(*await keys_of(person.id), global_key("email", person.email))


async def test_what_was_lost_is_there_again(alice: Person, filled: str, tmp_path: Path) -> None:
    before, file = await contents_of(alice.id), tmp_path / "b"
    written = await run_for_json("backup", file, "--user", alice.email)
    assert (written["users"], written["media"], written["keys"]) == (1, None, len(hashes(before)) + 1)
    assert file.stat().st_mode & 0o777 == 0o600
    await lose(alice)
    assert (await alice.get("/api/auth/me")).status_code == 401
    restored = await run_for_json("restore", file)
    assert (restored["users"], restored["keys"], restored["faults"]) == (1, written["keys"], [])
    assert restored["mended"] == []
    assert await contents_of(alice.id) == before
    assert await inconsistencies([alice.id]) == []
    assert (await alice.get("/api/search?q=blue")).json()["pagination"]["total"] == 1


def hashes(contents: dict[str, Any]) -> list[str]:
    return [key for key, content in contents.items() if isinstance(content, dict)]


async def test_devices_load_everything_anew(alice: Person, filled: str, tmp_path: Path) -> None:
    await run("backup", tmp_path / "b", "--user", alice.id)
    before = await alice.position()
    await alice.make_message(filled, "after the backup")
    await alice.phone.listen(filled)
    await run("restore", tmp_path / "b", "--replace", "--yes")
    assert (await alice.phone.next_frame())["type"] == "resync_required"
    assert (await alice.get(f"/api/sync?since={before}")).json()["resyncRequired"] is True
    messages = (await alice.get(f"/api/sessions/{filled}/messages")).json()["messages"]
    assert [message["text"] for message in messages] == ["blue 猫\x01", "answer"]
    await alice.make_message(filled, "and on it goes")
    assert await alice.phone.heard_types(at_least=2) == ["message_created", "session_updated"]
    assert await inconsistencies([alice.id]) == []


async def test_devices_live_no_longer_than_before(alice: Person, tmp_path: Path) -> None:
    devices = await Device.objects.some_ids(alice.id)
    ends = [await get_client().pttl(owner_key(alice.id, "device", each)) for each in devices]
    await run("backup", tmp_path / "b", "--user", alice.id)
    await lose(alice)
    await run("restore", tmp_path / "b")
    for each, end in zip(devices, ends, strict=True):
        assert 0 <= end - await get_client().pttl(owner_key(alice.id, "device", each)) < 60_000
    await assert_signed_in(alice.laptop.http, alice.phone.token)
    assert (await sign_in(alice.laptop.http, alice)).status_code == 200


async def test_pictures_come_along_when_asked_for(alice: Person, filled: str, tmp_path: Path) -> None:
    stored = {key: await content_of(key) async for key in get_storage().list(alice.id)}
    assert (await run_for_json("backup", tmp_path / "b", "--user", alice.id, "--media"))["media"] == len(
        stored
    )
    await lose(alice)
    await get_storage().delete_prefix(alice.id)
    assert (await run_for_json("restore", tmp_path / "b", "--no-media"))["media"] == 0
    assert await inconsistencies([alice.id]) != []
    await run("restore", tmp_path / "b", "--replace", "--yes")
    assert {key: await content_of(key) async for key in get_storage().list(alice.id)} == stored
    assert await inconsistencies([alice.id]) == []


async def content_of(key: str) -> bytes:
    return b"".join([chunk async for chunk in get_storage().open(key)])


# ---- what is here already
async def test_who_is_here_stays_unless_replacing_is_asked_for(
    alice: Person, mallory: Person, filled: str, tmp_path: Path
) -> None:
    await run("backup", tmp_path / "b", "--user", alice.id, "--user", mallory.id)
    await lose(mallory)
    later = await alice.make_message(filled, "after the backup")
    restored = await run_for_json("restore", tmp_path / "b")
    assert restored["skipped"] == [f"{alice.email} ({alice.id}) is here already."]
    assert restored["users"] == 1
    assert (await alice.get(f"/api/messages/{later['id']}")).status_code == 200
    assert (await mallory.get("/api/auth/me")).status_code == 200
    for typed, on_terminal in (("", False), ("no\n", True)):
        with pytest.raises(CommandError, match=r"say --yes|Nothing is changed"):
            await run("restore", tmp_path / "b", "--replace", typed=typed, on_terminal=on_terminal)
    assert (await alice.get(f"/api/messages/{later['id']}")).status_code == 200
    await run("restore", tmp_path / "b", "--replace", "--user", alice.email, typed="yes\n", on_terminal=True)
    assert (await alice.get(f"/api/messages/{later['id']}")).status_code == 404
    assert await inconsistencies([alice.id, mallory.id]) == []


async def test_an_address_that_is_another_accounts_now_is_told(alice: Person, tmp_path: Path) -> None:
    await run("backup", tmp_path / "b", "--user", alice.id)
    await run("delete_user", alice.id, "--yes")
    await run("createuser", alice.email, typed=alice.password)
    for options in ([], ["--replace", "--yes"]):
        restored = await run_for_json("restore", tmp_path / "b", *options)
        assert (restored["users"], len(restored["skipped"])) == (0, 1)
        assert "has the address now" in restored["skipped"][0]
    assert (await sign_in(alice.laptop.http, alice)).status_code == 200
    assert await User.objects.id_of_email(alice.email) != alice.id


async def test_an_address_that_was_changed_meanwhile_is_free_again(alice: Person, tmp_path: Path) -> None:
    await run("backup", tmp_path / "b", "--user", alice.id)
    newer = f"newer-{alice.email}"
    await get_client().rename(global_key("email", alice.email), global_key("email", newer))
    await get_client().hset(owner_key(alice.id, "user", alice.id), "email", newer)
    await run("restore", tmp_path / "b", "--replace", "--yes", "--user", alice.email.upper())
    assert await get_client().get(global_key("email", newer)) is None
    assert await get_client().get(global_key("email", alice.email)) == alice.id
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("damage", ["nonsense in a field", "another type"])
async def test_an_account_that_cannot_be_read_is_left_out_and_can_be_put_back(
    alice: Person, mallory: Person, tmp_path: Path, damage: str
) -> None:
    await run("backup", tmp_path / "whole", "--user", alice.id)
    user_key, redis = owner_key(alice.id, "user", alice.id), get_client()
    if damage == "another type":
        await redis.set(user_key, "a word")
    else:
        await redis.hset(user_key, "created_at", "abc")
    writer = BackupWriter(io.BytesIO(), has_media=False)
    left_out = await back_up(writer, user_ids=[alice.id, mallory.id])
    assert [each.startswith(f"The account {alice.id} cannot be read: ") for each in left_out] == [True]
    assert writer.users == 1
    with pytest.raises(CommandError, match="1 account cannot be read and is not in it"):
        await run("backup", tmp_path / "all")
    assert Backup((tmp_path / "all").open("rb")).manifest.users
    skipped = (await run_for_json("restore", tmp_path / "whole"))["skipped"]
    assert skipped == [f"{alice.email} ({alice.id}) is here already."]
    await run("restore", tmp_path / "whole", "--replace", "--yes", "--user", alice.id)
    assert await inconsistencies([alice.id]) == []
    await assert_signed_in(alice.laptop.http, alice.laptop.token)


# ---- what goes wrong
async def test_an_interrupted_restore_is_told_and_goes_on(
    alice: Person,
    filled: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await contents_of(alice.id)
    await run("backup", tmp_path / "b", "--user", alice.id)
    await lose(alice)
    monkeypatch.setattr(snapshots, "WRITTEN_AT_ONCE", 3)
    with monkeypatch.context() as patch:
        patch.setattr(Snapshots, "_entries", failing_after(Snapshots._entries, 5))
        with pytest.raises(CommandError, match="Redis does not answer"):
            await run("restore", tmp_path / "b")
    await assert_signed_out(alice.laptop.http, alice.laptop.token, alice.laptop.refresh_token)
    assert ["has not ended" in fault for fault in (await check_restore()).faults] == [True]
    assert ["and no account" in fault for fault in (await check_users([alice.id])).faults] == [True]
    await run("restore", tmp_path / "b")
    assert await get_client().get(RESTORING) is None
    assert await contents_of(alice.id) == before
    await assert_signed_in(alice.laptop.http, alice.laptop.token)


def failing_after(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    remaining = iter(range(calls))

    def wrapper(*arguments: Any) -> Any:
        if next(remaining, None) is None:
            raise ConnectionError("The plug was pulled")
        return function(*arguments)

    return wrapper


@pytest.fixture
async def backup(alice: Person, filled: str, tmp_path: Path) -> Path:
    await run("backup", tmp_path / "b", "--user", alice.id, "--media")
    return tmp_path / "b"


async def test_a_damaged_backup_is_never_taken_for_whole(backup: Path) -> None:
    whole = content_of_file(backup)
    manifest = Backup(io.BytesIO(whole)).manifest
    assert "is whole" in await run("restore", backup, "--verify")
    refused = [is_refused(flipped(whole, at), manifest) for at in range(0, len(whole), len(whole) // 150)]
    assert refused.count(True) > 100  # the others are names and times that nobody reads
    for end in range(0, len(whole), len(whole) // 20):
        assert is_refused(whole[:end], manifest)


def content_of_file(path: Path) -> bytes:
    return path.read_bytes()


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def is_refused(content: bytes, manifest: Manifest) -> bool:
    """Whether a backup is; one that is not has to be what was written."""
    try:
        backup = Backup(io.BytesIO(content))
        assert sum(backup.verify()) > 0
    except UnusableBackup:
        return True
    assert backup.manifest == manifest
    return False


def rewritten(backup: Path, name: str, before: bytes, after: bytes) -> Path:
    """The backup with something else in one entry, and all checksums of the zip right."""
    changed = backup.with_name("changed")
    with ZipFile(backup) as source, ZipFile(changed, "w") as target:
        for each in source.namelist():
            content = source.read(each)
            target.writestr(each, content.replace(before, after) if each.startswith(name) else content)
    return changed


async def test_a_changed_backup_is_refused(backup: Path) -> None:
    for name, before, after, sentence in (
        ("users/", b"red", b"bad", "its digest is another one"),
        ("manifest.json", b'"format": 1', b'"format": 2', "this knows 1"),
        ("manifest.json", b'"users": 1', b'"users": 2', "as many accounts"),
        ("manifest.json", b"{", b"[", "no whole backup"),
    ):
        with pytest.raises(CommandError, match=sentence):
            await run("restore", rewritten(backup, name, before, after), "--replace", "--yes")


async def test_files_that_are_no_backups_are_refused(alice: Person, backup: Path, tmp_path: Path) -> None:
    refused = {"/etc/hostname": "no whole backup", "absent": "cannot be read", ".": "cannot be read"}
    for file, sentence in refused.items():
        with pytest.raises(CommandError, match=sentence):
            await run("restore", tmp_path / file)
    with pytest.raises(CommandError, match="exists already"):
        await run("backup", backup, "--user", alice.id)
    with pytest.raises(CommandError, match="cannot be written"):
        await run("backup", tmp_path / "absent" / "b", "--user", alice.id)
    with pytest.raises(CommandError, match="There is no user"):
        await run("backup", tmp_path / "c", "--user", "nobody@example.com")
    with pytest.raises(CommandError, match="There is no user"):
        await run("restore", backup, "--user", "nobody@example.com")
    assert os.listdir(tmp_path) == ["b"]  # noqa: PTH208


# ---- others write
async def test_what_moves_while_it_is_read_is_not_lost(
    alice: Person, filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = await alice.make_session("Empty")
    monkeypatch.setattr(snapshots, "KEYS_AT_ONE_MOMENT", 2)
    read = Snapshots._read

    async def read_while_others_write(self: Snapshots, *arguments: Any) -> Any:
        change = next(changes, nothing)()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(change, loop))
        return await read(self, *arguments)

    loop = asyncio.get_running_loop()
    changes = iter(
        [
            lambda: alice.delete(f"/api/sessions/{empty['id']}"),
            lambda: alice.delete(f"/api/sessions/{filled}"),
            lambda: alice.post(f"/api/sessions/{filled}/restore"),
            lambda: alice.make_message(filled, "new"),
        ]
    )
    monkeypatch.setattr(Snapshots, "_read", read_while_others_write)
    await run("backup", tmp_path / "b", "--user", alice.id)
    await lose(alice)
    assert (await run_for_json("restore", tmp_path / "b"))["faults"] == []
    assert await inconsistencies([alice.id]) == []
    found = [*await titles(alice, "/api/sessions"), *await titles(alice, "/api/sessions/trash")]
    assert sorted(found) == ["Cats", "Empty", "Trashed"]
    await alice.post(f"/api/sessions/{filled}/restore")  # it may have been read while it was in the trash
    assert (await alice.get(f"/api/sessions/{filled}/messages")).json()["pagination"]["total"] >= 2


async def nothing() -> None:
    pass


async def titles(alice: Person, path: str) -> list[str]:
    return [session["title"] for session in (await alice.get(path)).json()["sessions"]]


async def test_a_backup_of_everybody_has_everybody(alice: Person, mallory: Person, tmp_path: Path) -> None:
    await run("backup", tmp_path / "b")
    users = {user.id for user in Backup((tmp_path / "b").open("rb")).users()}
    assert {alice.id, mallory.id} <= users
