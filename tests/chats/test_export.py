"""GET /api/sessions/:id/export, GET /api/auth/me/export"""

import asyncio
import hashlib
import io
import zipfile
from typing import Any

import httpx
import pytest

from accounts.models import User
from chats import views
from chats.models import Message
from chats.services import archives
from chats.services.trash import delete_session
from chats.views import filename_of
from media_store.models import Image
from media_store.storage import get_storage
from nanobanana.redisdb.client import get_client
from tests.media_store.pictures import sample
from tests.media_store.uploads import key_of, until
from tests.support.archives import (
    a_message,
    bring_in,
    download,
    export,
    export_account,
    lines,
    record,
    records,
    small,
)
from tests.support.people import Person, photo, picture
from tests.support.strangers import assert_private, assert_signed_out

ACCOUNT = "/api/auth/me/export"


def path_of(session: dict[str, Any]) -> str:
    return f"/api/sessions/{session['id']}/export"


async def long_session(alice: Person, texts: list[str]) -> dict[str, Any]:
    """A session with these messages, all of one millisecond."""
    messages = [a_message(id=f"m{number}", text=text) for number, text in enumerate(texts)]
    [session] = await bring_in(alice.laptop, small(messages=lines(*messages), images=b"", picture=None))
    return session


async def test_it_is_a_zip_of_the_messages_and_pictures(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"], sample("formats/hopper.webp"))
    params = {"größe": ["🍌", 2**63, 0.5, None]}
    first = await alice.make_message(session["id"], "猫にクラウンを", imageIds=[image["id"]], params=params)
    second = await alice.make_message(session["id"], "Here.\n", role="assistant", editedOf=first["id"])
    entries = await export(alice.laptop, session["id"])

    folder, file = f"sessions/{session['id']}", f"images/{image['id']}.webp"
    assert list(entries) == [
        f"{folder}/messages.jsonl",
        f"{folder}/messages.md",
        f"{folder}/session.json",
        file,
        "images.jsonl",
        "manifest.json",
    ]
    without = {"images", "sessionId", "revision"}
    assert records(entries, f"{folder}/messages.jsonl") == [
        {name: value for name, value in each.items() if name not in without} for each in (first, second)
    ]
    now = (await alice.get(f"/api/sessions/{session['id']}")).json()["session"]
    assert record(entries, f"{folder}/session.json").items() >= {**now, "titleOrigin": "text"}.items()
    stored = await Image.objects.aget(alice.id, image["id"])
    assert hashlib.sha256(entries[file]).hexdigest() == stored.sha256
    same = ("id", "sessionId", "type", "mime", "width", "height", "size", "createdAt")
    described = {**{name: image[name] for name in same}, "sha256": stored.sha256, "filename": file}
    assert records(entries, "images.jsonl") == [described]
    manifest = record(entries, "manifest.json")
    assert manifest == {
        "format": "nanobanana-archive",
        "version": 1,
        "exportedAt": manifest["exportedAt"],
        "kind": "session",
        "missing": [],
    }


async def test_the_messages_can_be_read(alice: Person) -> None:
    session = await alice.make_session("Cats\nand dogs")
    image = await alice.make_image(session["id"])
    said = await alice.make_message(session["id"], "Look:\n\n- one", imageIds=[image["id"]])
    entries = await export(alice.laptop, session["id"])
    assert entries[f"sessions/{session['id']}/messages.md"].decode() == (
        f"# Cats and dogs\n\n## user, {said['createdAt']}\n\nLook:\n\n- one\n"
        f"\n![](../../images/{image['id']}.png)\n"
    )


async def test_pictures_are_stored_as_they_are_and_texts_compressed(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"], photo("rocket.jpg"))
    answer = await alice.get(path_of(session))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        kinds = {info.filename.rpartition(".")[2]: info.compress_type for info in archive.infolist()}
        content = archive.read(f"images/{image['id']}.jpeg")
    assert kinds == {"jpeg": zipfile.ZIP_STORED} | dict.fromkeys(
        ("json", "jsonl", "md"), zipfile.ZIP_DEFLATED
    )
    assert content == (await alice.get(image["path"].removeprefix("http://testserver"))).content


async def test_a_session_without_messages(alice: Person, session: dict[str, Any]) -> None:
    entries = await export(alice.laptop, session["id"])
    assert records(entries, f"sessions/{session['id']}/messages.jsonl") == []
    assert records(entries, "images.jsonl") == []


async def test_many_messages_come_in_order(alice: Person) -> None:
    texts = [f"Message {number}" for number in range(103)]
    session = await long_session(alice, texts)
    entries = await export(alice.laptop, session["id"])
    assert [each["text"] for each in records(entries, f"sessions/{session['id']}/messages.jsonl")] == texts


async def test_pictures_of_other_sessions_come_along_once(alice: Person, session: dict[str, Any]) -> None:
    other = await alice.make_session()
    borrowed = await alice.make_image(other["id"])
    await alice.make_image(other["id"])
    for _ in range(2):
        await alice.make_message(session["id"], imageIds=[borrowed["id"]])
    entries = await export(alice.laptop, session["id"])
    described = [(each["id"], each["sessionId"]) for each in records(entries, "images.jsonl")]
    assert described == [(borrowed["id"], session["id"])]
    assert [name for name in entries if name.startswith("images/")] == [f"images/{borrowed['id']}.png"]


async def test_it_names_no_message_that_is_not_in_it(alice: Person, session: dict[str, Any]) -> None:
    other = await alice.make_session()
    elsewhere = await alice.make_message(other["id"])
    gone = await alice.make_message(session["id"])
    await alice.make_message(session["id"], editedOf=gone["id"])
    await alice.delete(f"/api/messages/{gone['id']}")
    message = await alice.make_message(session["id"])
    await get_client().hset(Message.handle(alice.id, message["id"]).key, "edited_of", elsewhere["id"])
    entries = await export(alice.laptop, session["id"])
    messages = records(entries, f"sessions/{session['id']}/messages.jsonl")
    assert [each["editedOf"] for each in messages] == [None, None]


async def test_a_picture_that_is_lost_is_listed(alice: Person, session: dict[str, Any]) -> None:
    colours = ("red", "green", "blue")
    lost, kept, gone = [await alice.make_image(session["id"], picture(colour=each)) for each in colours]
    await alice.make_message(session["id"], imageIds=[lost["id"], kept["id"], gone["id"]])
    await get_storage().delete(await key_of(lost, "original"))
    await get_client().delete(Image.handle(alice.id, gone["id"]).key)
    entries = await export(alice.laptop, session["id"])
    assert record(entries, "manifest.json")["missing"] == sorted([lost["id"], gone["id"]])
    assert [name for name in entries if name.startswith("images/")] == [f"images/{kept['id']}.png"]


async def test_it_names_no_message_that_comes_later(alice: Person, session: dict[str, Any]) -> None:
    """As when the clock of one server was behind that of another; an import would not take it."""
    first, second = [await alice.make_message(session["id"]) for _ in range(2)]
    await get_client().hset(Message.handle(alice.id, first["id"]).key, "edited_of", second["id"])
    entries = await export(alice.laptop, session["id"])
    messages = records(entries, f"sessions/{session['id']}/messages.jsonl")
    assert [each["editedOf"] for each in messages] == [None, None]


# ---- the whole account
async def test_the_account_has_everything_and_no_secret(alice: Person, mallory: Person) -> None:
    await mallory.make_message((await mallory.make_session())["id"], "Not hers")
    kept, thrown = await alice.make_session("Kept"), await alice.make_session("Thrown away")
    await alice.put(f"/api/sessions/{kept['id']}", {"title": "Kept still"})
    images = [await alice.make_image(each["id"]) for each in (kept, thrown)]
    await alice.make_message(thrown["id"], "Look", imageIds=[images[0]["id"], images[1]["id"]])
    await alice.delete(f"/api/sessions/{thrown['id']}")
    entries = await export_account(alice.laptop)

    assert record(entries, "user.json") == (await alice.get("/api/auth/me")).json()["user"]
    sessions = {name: record(entries, name) for name in entries if name.endswith("session.json")}
    marks = {each["title"]: each["deletedAt"] is not None for each in sessions.values()}
    assert marks == {"Kept still": False, "Thrown away": True}
    assert len(records(entries, f"sessions/{thrown['id']}/messages.jsonl")) == 1
    homes = {each["id"]: each["sessionId"] for each in records(entries, "images.jsonl")}
    assert homes == {images[0]["id"]: kept["id"], images[1]["id"]: thrown["id"]}
    assert record(entries, "manifest.json")["kind"] == "account"
    everything = b"".join(entries.values())
    for secret in (alice.laptop.token, "argon2", "bcrypt", mallory.id, "/media/", "Not hers"):
        assert str(secret).encode() not in everything


async def test_pictures_outlive_their_session(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was gone before the export, and one that goes while the others are written."""
    gone, going = [await alice.make_session() for _ in range(2)]
    images = [await alice.make_image(each["id"]) for each in (gone, going)]
    await alice.make_message(session["id"], imageIds=[image["id"] for image in images])
    ids_of = archives.session_ids_of

    async def find_and_delete(**arguments: Any) -> list[str]:
        ids = await ids_of(**arguments)
        await alice.delete(f"/api/sessions/{going['id']}?permanent=true")
        return ids

    monkeypatch.setattr(archives, "session_ids_of", find_and_delete)
    await alice.delete(f"/api/sessions/{gone['id']}?permanent=true")
    entries = await export_account(alice.laptop)
    assert {each["sessionId"] for each in records(entries, "images.jsonl")} == {session["id"]}
    assert len([name for name in entries if name.startswith("images/")]) == 2


async def test_an_empty_account(alice: Person) -> None:
    assert list(await export_account(alice.laptop)) == ["user.json", "images.jsonl", "manifest.json"]


# ---- the answer
@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Cats", 'attachment; filename="Cats.zip"'),
        ('a/b\\c:"d"?', 'attachment; filename="a-b-c-d.zip"'),
        ("../..", 'attachment; filename="session.zip"'),
        ("猫 🍌", "attachment; filename*=utf-8''%E7%8C%AB%20%F0%9F%8D%8C.zip"),
        ("a\r\nX: b", 'attachment; filename="a-X- b.zip"'),
    ],
)
async def test_the_file_is_named_after_the_session(alice: Person, title: str, expected: str) -> None:
    session = await alice.make_session(title)
    for method in ("GET", "HEAD"):
        answer = await alice.laptop.request(method, path_of(session))
        assert answer.headers["Content-Disposition"] == expected
        assert answer.headers["Content-Type"] == "application/zip"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Content-Length" not in answer.headers
        assert bool(answer.content) == (method == "GET")


def test_a_long_title_makes_no_long_name() -> None:
    assert filename_of("x" * 100) == "x" * 80 + ".zip"


async def test_an_export_counts_as_an_upload(alice: Person, session: dict[str, Any], settings: Any) -> None:
    settings.RATE_LIMIT_MAX_REQUESTS = 600
    settings.RATE_LIMIT_UPLOADS = 2
    for path in (path_of(session), ACCOUNT):
        assert (await alice.get(path)).headers["RateLimit-Policy"].startswith('"uploads";q=2')
    assert (await alice.get(path)).status_code == 429


async def test_only_the_owner_gets_it(alice: Person, mallory: Person, session: dict[str, Any]) -> None:
    await assert_private(alice, mallory, "GET", path_of(session), session["id"])
    assert_signed_out(await alice.get(ACCOUNT, headers={"Authorization": ""}))
    await alice.delete(f"/api/sessions/{session['id']}")
    assert (await alice.get(path_of(session))).status_code == 404


async def test_too_many_at_once_are_refused(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("count", 1), ("of_one", 1), ("count", 0)):
        monkeypatch.setattr(views._exports, name, most)
        for _ in range(2):  # a place is free again when its export has ended
            answer = await alice.get(path_of(session))
            assert answer.status_code == (200 if most else 503)
    assert answer.json()["error"] == "service_unavailable"
    assert answer.headers["Retry-After"]


# ---- what goes wrong on the way
async def test_a_session_deleted_meanwhile_breaks_the_transfer_off(
    alice: Person, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await long_session(alice, ["Hello"] * 60)
    read = Message.objects.alist
    pages = []

    async def read_and_delete(*arguments: Any) -> Any:
        page = await read(*arguments)
        pages.append(page)
        if len(pages) == 1:
            await delete_session(user=user, session_id=session["id"])
        return page

    monkeypatch.setattr(Message.objects, "alist", read_and_delete)
    with pytest.raises(httpx.RemoteProtocolError):
        await download(alice.laptop, path_of(session))
    assert (await alice.get("/health")).status_code == 200


async def settled(state: dict[str, Any]) -> int:
    """How much was read, once the buffers on the way are full."""
    read = -1
    while read != state["read"]:
        read = state["read"]
        await asyncio.sleep(0.1)
    return read


async def test_a_client_that_leaves_ends_the_work(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.make_image(session["id"])
    state = {"read": 0, "ended": False}

    async def endless(*arguments: Any) -> Any:
        try:
            while True:
                state["read"] += 1
                yield b"x" * 65_536
                await asyncio.sleep(0)
        finally:
            state["ended"] = True

    monkeypatch.setattr(get_storage(), "open", endless)
    headers = {"Authorization": f"Bearer {alice.laptop.token}"}
    async with alice.laptop.http.stream("GET", path_of(session), headers=headers) as answer:
        chunks = answer.aiter_raw()
        await anext(chunks)
        read = await settled(state)
        await asyncio.sleep(0.2)
        assert views._exports.taken == 1
        assert state["read"] == read  # who does not read on holds the work up, not the memory

    async def it_has_ended() -> bool:
        return bool(state["ended"]) and views._exports.taken == 0

    await until(it_has_ended)
