"""`manage.py check_storage` and `manage.py move_storage`"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from media_store.storage import LocalStorage, make_storage
from media_store.storage.transfer import Transfer
from nanobanana.management.commands.move_storage import Command
from tests.support.oss_server import OssServer, StoredObject, serve_oss
from tests.support.storages import aliyun_settings

KEYS = [f"alice/{number}/{variant}" for number in range(20) for variant in ("original", "thumb")]
STEPS = ["write", "read", "read a part", "sign", "list", "delete"]


@pytest.fixture(scope="module")
def running_oss() -> Iterator[OssServer]:
    with serve_oss() as server:
        yield server


@pytest.fixture
def oss(running_oss: OssServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> OssServer:
    """A bucket of Aliyun's, configured and in use."""
    running_oss.objects.clear()
    running_oss.requests.clear()
    monkeypatch.setenv("STORAGE_TYPE", "aliyun")
    settings.STORAGE_TYPE = "aliyun"
    for name, value in aliyun_settings(running_oss).items():
        monkeypatch.setenv(name, value)
        setattr(settings, name, value)
    return running_oss


@pytest.fixture
def local(settings: Settings, tmp_path: Path) -> LocalStorage:
    settings.MEDIA_DIR = tmp_path / "media"
    return LocalStorage(settings.MEDIA_DIR)


@pytest.fixture
def pictures(local: LocalStorage) -> dict[str, bytes]:
    """What lies in the local storage."""
    contents = {key: f"the bytes of {key}".encode() for key in KEYS}
    for key, data in contents.items():
        (local.root / key).parent.mkdir(parents=True, exist_ok=True)
        (local.root / key).write_bytes(data)
    return contents


def told(*command: str) -> str:
    output = io.StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()


def told_with_failure(*command: str) -> tuple[str, str]:
    output = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command(*command, stdout=output)
    return output.getvalue(), str(refused.value)


def stored(oss: OssServer) -> dict[str, bytes]:
    return {key: found.data for key, found in oss.objects.items()}


def move(*options: str) -> dict[str, Any]:
    return json.loads(told("move_storage", "--from", "local", "--to", "aliyun", "--json", *options))


# ---- check_storage
def test_a_storage_that_works_passes_every_step_and_keeps_nothing(oss: OssServer) -> None:
    lines = told("check_storage").splitlines()
    assert lines[0] == (
        f'Storage: OSS bucket "nanobanana-images" of region cn-hangzhou at {oss.url.removeprefix("http://")}'
    )
    assert [line.split()[0] for line in lines[1:]] == ["ok"] * len(STEPS)
    assert oss.objects == {}


def test_it_can_be_read_by_programs(oss: OssServer) -> None:
    content = json.loads(told("check_storage", "--json"))
    assert content["ok"] is True
    assert (content["storageType"], "cn-hangzhou" in content["storage"]) == ("aliyun", True)
    assert [step["name"] for step in content["steps"]] == STEPS


def test_local_storage_signs_nothing(local: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", "local")
    content = json.loads(told("check_storage", "--json"))
    assert {step["name"]: step["state"] for step in content["steps"]} == {
        name: "skipped" if name == "sign" else "ok" for name in STEPS
    }


def test_a_wrong_secret_is_explained_and_the_rest_not_tried(oss: OssServer, settings: Settings) -> None:
    settings.ALIYUN_ACCESS_KEY_SECRET = "wrong"
    output, _ = told_with_failure("check_storage")
    assert "failed" in output
    assert "check ALIYUN_ACCESS_KEY_SECRET" in output
    assert output.count("skipped") == len(STEPS) - 1
    assert "wrong" not in output
    assert len(oss.requests) == 1


def test_a_key_that_may_not_delete_is_found_out(oss: OssServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oss, "forbidden_methods", {"DELETE"})
    output, _ = told_with_failure("check_storage")
    assert [line.split()[0] for line in output.splitlines()[1:]] == ["ok"] * 5 + ["failed"]
    assert "policy" in output


def test_a_cdn_that_cannot_read_is_found_out(oss: OssServer, settings: Settings) -> None:
    settings.CDN_BASE_URL = f"{oss.url}/{oss.bucket}"  # without a signature: nobody may
    output, _ = told_with_failure("check_storage")
    assert "answers 403" in output
    assert "CDN_BASE_URL" in output


def test_what_is_not_set_is_said_and_its_exit_code_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_TYPE", "aliyun")
    with pytest.raises(CommandError, match="The storage aliyun lacks ALIYUN_ACCESS_KEY_ID and ") as refused:
        call_command("check_storage")
    assert refused.value.returncode == 1


# ---- move_storage
def test_everything_is_copied_and_nothing_deleted(
    oss: OssServer, local: LocalStorage, pictures: dict[str, bytes]
) -> None:
    output = told("move_storage", "--from", "local", "--to", "aliyun")
    assert stored(oss) == pictures
    assert f"Copied 40 objects of {sum(map(len, pictures.values()))} bytes; 0 were there." in output
    assert "Nothing was deleted" in output
    assert {key: (local.root / key).read_bytes() for key in KEYS} == pictures


def test_what_is_there_is_not_copied_again(oss: OssServer, pictures: dict[str, bytes]) -> None:
    move()
    oss.objects["alice/3/original"] = StoredObject(b"x" * len(pictures["alice/3/original"]), {})
    oss.objects["alice/4/original"] = StoredObject(pictures["alice/4/original"], {})
    del oss.objects["alice/5/thumb"]
    oss.requests.clear()
    outcome = move()
    assert (outcome["copied"], outcome["skipped"], outcome["failed"]) == (2, 38, [])
    assert stored(oss) == pictures
    assert len([request for request in oss.requests if request.startswith("PUT")]) == 2


def test_a_rehearsal_copies_nothing(oss: OssServer, pictures: dict[str, bytes]) -> None:
    outcome = move("--dry-run")
    assert (outcome["dryRun"], outcome["copied"]) == (True, 40)
    assert oss.objects == {}
    assert "Would copy 40" in told("move_storage", "--from", "local", "--to", "aliyun", "--dry-run")


def test_it_goes_back_as_well(oss: OssServer, settings: Settings, tmp_path: Path, pictures) -> None:
    move()
    settings.MEDIA_DIR = tmp_path / "another"
    for copied, skipped in ((40, 0), (0, 40)):
        outcome = json.loads(told("move_storage", "--from", "aliyun", "--to", "local", "--json"))
        assert (outcome["copied"], outcome["skipped"]) == (copied, skipped)
    assert {key: (tmp_path / "another" / key).read_bytes() for key in KEYS} == pictures


def test_an_outage_stops_it_and_the_next_run_goes_on(oss: OssServer, pictures: dict[str, bytes]) -> None:
    command = ("move_storage", "--from", "local", "--to", "aliyun")
    oss.objects |= {"alice/0/original": StoredObject(pictures["alice/0/original"], {})}
    with oss.failing("500"):
        output, problem = told_with_failure(*command)
    assert "Copied 0 objects" in output
    assert "nanobanana-images" in problem
    assert "Run this again" in problem
    told(*command)
    assert stored(oss) == pictures


async def test_an_object_that_comes_back_changed_is_no_success(
    oss: OssServer, local: LocalStorage, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_storage("aliyun")
    put = target.put

    async def put_damaged(key: str, data: bytes) -> None:
        await put(key, b"damaged" if key == "alice/7/thumb" else data)

    monkeypatch.setattr(target, "put", put_damaged)
    transfer = Transfer(local, target)
    await transfer.run(lambda number: None)
    assert (transfer.copied, transfer.failed) == (39, ["alice/7/thumb"])


async def test_what_is_deleted_meanwhile_is_no_failure(
    oss: OssServer, local: LocalStorage, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = local.sha256

    async def sha256_and_lose_one(key: str) -> str:
        if key == "alice/9/thumb":
            await local.delete(key)
        return await sha256(key)

    monkeypatch.setattr(local, "sha256", sha256_and_lose_one)
    transfer = Transfer(local, make_storage("aliyun"))
    await transfer.run(lambda number: None)
    assert (transfer.copied, transfer.vanished, transfer.failed) == (39, 1, [])


def test_nonsense_is_refused(oss: OssServer) -> None:
    assert "same" in told_with_failure("move_storage", "--from", "local", "--to", "local")[1]
    assert "lacks" in told_with_failure("move_storage", "--from", "local", "--to", "aws")[1]
    with pytest.raises(CommandError, match="invalid choice"):
        Command().create_parser("manage.py", "move_storage").parse_args(["--from", "x", "--to", "aws"])
