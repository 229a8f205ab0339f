"""`manage.py export_user`, `manage.py import_user`"""

import asyncio
import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from chats.management.commands import import_user
from media_store.storage import get_storage
from nanobanana.errors import ServiceUnavailable
from nanobanana.progress import progress
from nanobanana.redisdb import client
from tests.support.archives import (
    a_message,
    a_session,
    content_of,
    entries_of,
    export_account,
    lines,
    small,
    zipped,
)
from tests.support.consistency import inconsistencies
from tests.support.people import Person


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def run(*arguments: Any) -> str:
    """What a command prints; it has an event loop of its own."""
    output = io.StringIO()
    await asyncio.to_thread(call_command, *map(str, arguments), stdout=output)
    return output.getvalue()


def files_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_all_that_a_user_has_goes_to_another(alice: Person, mallory: Person, tmp_path: Path) -> None:
    session = await alice.make_session("Cats")
    image = await alice.make_image(session["id"])
    await alice.make_message(session["id"], imageIds=[image["id"]])
    archive = tmp_path / "alice.zip"
    said = await run("export_user", alice.email, archive)
    assert said == f"Exported {alice.email} to {archive}.\n"
    assert (
        await run("import_user", archive, "--id", mallory.id) == f"Imported 1 session for {mallory.email}.\n"
    )
    exported, again = entries_of(archive.read_bytes()), await export_account(mallory.laptop)
    assert content_of(exported)["sessions/session 0/messages.jsonl"]
    del exported["user.json"], again["user.json"]
    assert content_of(again) == content_of(exported)
    assert archive.stat().st_mode & 0o077 == 0
    assert await inconsistencies([alice.id, mallory.id]) == []


async def test_what_the_user_has_already_stays(alice: Person, tmp_path: Path) -> None:
    kept = await alice.make_session("Kept")
    archive = tmp_path / "alice.zip"
    await run("export_user", alice.id, archive)
    await run("import_user", archive, "--email", alice.email.upper())
    sessions = (await alice.get("/api/sessions")).json()["sessions"]
    assert [session["title"] for session in sessions] == ["Kept", "Kept"]
    assert kept["id"] in {session["id"] for session in sessions}


async def test_more_sessions_than_one_commit_shows(
    alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chats.services.archives.SHOWN_AT_ONCE", 3)
    entries = small()
    for number in range(7):
        entries[f"sessions/{number}/session.json"] = orjson.dumps(a_session(id=str(number)))
        entries[f"sessions/{number}/messages.jsonl"] = lines(a_message(imageIds=["i"]))
    archive = tmp_path / "many.zip"
    archive.write_bytes(zipped(entries))
    await run("import_user", archive, "--id", alice.id)
    assert (await alice.get("/api/sessions")).json()["pagination"]["total"] == 8
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export_user", "nobody@example.com", "new.zip"), "There is no user nobody@example.com."),
        (("export_user", "nonsense", "new.zip"), "There is no user nonsense."),
        (("export_user", "{user}", "there.zip"), "there.zip exists already."),
        (("export_user", "{user}", "nowhere/new.zip"), "nowhere/new.zip cannot be written: No such file"),
        (
            ("import_user", "there.zip", "--email", "nobody@example.com"),
            "There is no user nobody@example.com.",
        ),
        (("import_user", "nowhere.zip", "--id", "{user}"), "nowhere.zip cannot be read: No such file"),
        (("import_user", "there.zip", "--id", "{user}"), "The archive is not one of ours, or damaged"),
        (("import_user", "there.zip"), "one of the arguments --email --id is required"),
    ],
)
async def test_nonsense_is_refused_with_a_sentence(
    alice: Person,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.zip").write_text("no zip file")
    with pytest.raises(CommandError, match=sentence):
        await run(*(each.replace("{user}", alice.id) for each in arguments))
    assert files_in(tmp_path) == ["there.zip"]


async def test_an_export_that_fails_leaves_no_file(
    alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.make_image((await alice.make_session())["id"])

    def fail(*_: object) -> None:
        raise ServiceUnavailable("The picture storage does not work.")

    monkeypatch.setattr(get_storage(), "open", fail)
    with pytest.raises(CommandError, match="The picture storage does not work"):
        await run("export_user", alice.email, tmp_path / "alice.zip")
    assert files_in(tmp_path) == []


async def test_a_server_that_is_not_there_is_told(
    alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_url", f"unix://{tmp_path}/nowhere.sock")
    with pytest.raises(CommandError, match=r"Redis does not answer .*: check REDIS_URL"):
        await run("export_user", alice.email, tmp_path / "alice.zip")


async def test_where_an_archive_is_wrong_is_told(alice: Person, tmp_path: Path) -> None:
    archive = tmp_path / "wrong.zip"
    archive.write_bytes(zipped(small(messages=lines(a_message(role="root")))))
    with pytest.raises(CommandError, match=r"messages\.jsonl, line 1: role: "):
        await run("import_user", archive, "--id", alice.id)


def test_what_an_operator_may_bring_in_is_larger() -> None:
    assert import_user.GENEROUS.sessions > 1000


# ---- progress
def test_progress_is_drawn_on_a_terminal() -> None:
    terminal = Terminal()
    with progress("Exporting", 4, terminal) as advance:
        advance(1)
        advance(1)
    first, *_, last = terminal.getvalue().strip().split("\r")
    assert first.endswith("0%")
    assert last == f"Exporting {'█' * 15}{'·' * 15}  50%"


def test_progress_of_nothing_and_beyond_the_end_is_whole() -> None:
    for total, steps in ((0, 0), (3, 5)):
        terminal = Terminal()
        with progress("Importing", total, terminal) as advance:
            advance(steps)
        assert terminal.getvalue().endswith("100%\n")


def test_no_progress_is_drawn_elsewhere() -> None:
    file = io.StringIO()
    with progress("Exporting", 4, file) as advance:
        advance(1)
    assert file.getvalue() == ""
