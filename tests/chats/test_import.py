"""POST /api/sessions/import"""

import asyncio
import io
import struct
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from PIL import Image as Picture

from accounts.models import User
from chats import views
from chats.archives.reader import open_archive
from chats.archives.zip_file import Limits
from chats.models import HiddenSession, Message, Session
from chats.services import archives
from chats.services.archives import SHOWN_AT_ONCE, import_archive
from chats.services.removal import remove_hidden
from media_store.models import Image
from media_store.storage import get_storage
from nanobanana import asgi
from nanobanana.errors import ArchiveTooLarge, StorageFull
from nanobanana.redisdb.ids import time_of
from nanobanana.redisdb.managers import Window
from nanobanana.redisdb.unit_of_work import Operation
from nanobanana.serializers import timestamp
from tests.media_store.pictures import SECRET, encode, private_exif, sample
from tests.media_store.uploads import field, file, post_form, stored_keys
from tests.support.archives import (
    IMPORT,
    MOMENT,
    Entries,
    a_message,
    a_session,
    an_image,
    bring_in,
    content_of,
    export,
    export_account,
    lines,
    manifest,
    records,
    send,
    small,
    zipped,
)
from tests.support.consistency import inconsistencies
from tests.support.people import Person, make_person, picture
from tests.support.strangers import assert_signed_out
from tests.support.web_server import WebServer

MESSAGES = "sessions/s/messages.jsonl"
SAMPLES = ("hopper.png", "hopper.gif", "hopper.webp", "hopper.avif", "hopper_gray.jpg", "iss634.webp")


@pytest.fixture(scope="module")
async def owner(server: WebServer) -> AsyncIterator[Person]:
    """Somebody to whom nothing ever comes in, so one person is enough for all the archives that are wrong."""
    async with make_person(server, "Alice") as person:
        yield person


async def assert_nothing_is_left(*people: Person) -> None:
    for person in people:
        assert (await Image.objects.alist(person.id, Window(1))).total == 0
        assert await stored_keys(person.id) == []
        assert await Session.objects.acount(person.id, "sessions") == 0
        assert await HiddenSession.objects.acount(person.id, "hidden") == 0
        assert await inconsistencies([person.id]) == []


# ---- there and back
async def furnish(alice: Person) -> dict[str, Any]:
    """A session with a bit of everything, and others that it refers to."""
    other = await alice.make_session("Otherwise")
    borrowed = await alice.make_image(other["id"])
    session = await alice.make_session("a/b 🍌")
    place = {"pinned": True, "archived": True, "tags": ["猫", "two words"]}
    assert (await alice.put(f"/api/sessions/{session['id']}", place)).status_code == 200
    images = [await alice.make_image(session["id"], sample(f"formats/{name}")) for name in SAMPLES]
    ids = [image["id"] for image in images]
    first = await alice.make_message(session["id"], "猫", imageIds=[ids[0], borrowed["id"], ids[5]])
    params = {"ключ": ["\\u0000", {"a": 2**63}], "f": 0.1, "z": None}
    await alice.make_message(session["id"], "", imageIds=ids[:3], role="model", params=params)
    again = await alice.make_message(session["id"], "x" * 32_000, editedOf=first["id"])
    await alice.put(f"/api/messages/{again['id']}", {"text": ""})
    await alice.make_message(session["id"], "line\r\n\t“end”", editedOf=again["id"], role="system")
    return session


async def test_a_session_is_the_same_there_and_back(alice: Person, mallory: Person) -> None:
    session = await furnish(alice)
    exported = await export(alice.laptop, session["id"])
    [brought] = await bring_in(mallory.laptop, exported)
    assert brought["userId"] == mallory.id
    assert brought["id"] != session["id"]
    again = await export(mallory.laptop, brought["id"])
    assert content_of(again) == content_of(exported)
    assert await inconsistencies([alice.id, mallory.id]) == []


async def test_an_account_is_the_same_there_and_back(alice: Person, mallory: Person) -> None:
    session = await furnish(alice)
    thrown = await alice.make_session("Thrown away")
    await alice.make_message(session["id"], imageIds=[(await alice.make_image(thrown["id"]))["id"]])
    await alice.make_session()
    await alice.delete(f"/api/sessions/{thrown['id']}")
    exported = await export_account(alice.laptop)
    brought = await bring_in(mallory.laptop, exported)
    assert len(brought) == 4
    assert all(each["deletedAt"] is None for each in brought)  # the trash comes back as well
    again = await export_account(mallory.laptop)
    before, after = content_of(exported), content_of(again)
    del before["user.json"], after["user.json"]
    assert after == before
    assert await inconsistencies([alice.id, mallory.id]) == []


async def test_times_and_order_stay(alice: Person) -> None:
    messages = [a_message(id=f"m{number}", text=str(number)) for number in range(450)]
    messages[-1]["createdAt"] = "2024-02-03T04:05:06.788Z"
    [session] = await bring_in(alice.laptop, small(messages=lines(*messages), images=b"", picture=None))
    assert (session["createdAt"], session["updatedAt"], session["messageCount"]) == (MOMENT, MOMENT, 450)
    assert timestamp(time_of(session["id"])) == MOMENT
    listed = (await alice.get(f"/api/sessions/{session['id']}/messages?limit=100")).json()["messages"]
    assert [each["text"] for each in listed] == ["449", *map(str, range(99))]
    assert all(timestamp(time_of(each["id"])) == each["createdAt"] for each in listed)


async def test_devices_hear_of_the_sessions_alone_when_all_is_there(alice: Person) -> None:
    await alice.phone.listen((await alice.make_session())["id"])
    answer = await send(alice.laptop, zipped(small()))
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]) == ("session_created", {"session": answer.json()["sessions"][0]})
    assert frame["cursor"] == answer.headers["X-Sync-Cursor"]
    assert await alice.phone.heard() == []


async def found(alice: Person) -> list[dict[str, Any]]:
    return (await alice.get("/api/search?q=hello")).json()["results"]


async def test_nobody_sees_any_of_it_before_all_is_there(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    publish = archives._Import.publish

    async def look_and_publish(*arguments: Any) -> Any:
        for path in ("/api/sessions", "/api/sessions/trash", "/api/images/user/all"):
            seen.append((await alice.phone.get(path)).json()["pagination"]["total"])
        seen.append(len(await found(alice)))
        return await publish(*arguments)

    monkeypatch.setattr(archives._Import, "publish", look_and_publish)
    [session] = await bring_in(alice.laptop, small())
    assert seen == [0, 0, 0, 0]
    assert len(await found(alice)) == 2
    shown = (await alice.get("/api/images/user/all")).json()["images"]
    assert [(image["sessionId"], image["refCount"]) for image in shown] == [(session["id"], 1)]
    assert await inconsistencies([alice.id]) == []


async def test_a_picture_goes_through_what_an_upload_goes_through(alice: Person) -> None:
    photo = encode(Picture.new("RGB", (60, 40), "red"), "JPEG", exif=private_exif(orientation=6))
    forged = an_image(mime="text/html", width=1, refCount=9, userId="x", path="https://example.com/")
    await bring_in(alice.laptop, small(images=lines(forged), picture=photo))
    [image] = (await alice.get("/api/images/user/all")).json()["images"]
    assert (image["mime"], image["width"], image["height"], image["userId"]) == (
        "image/jpeg",
        40,
        60,
        alice.id,
    )
    assert (image["createdAt"], image["refCount"]) == (MOMENT, 1)
    original = await alice.get(image["path"].removeprefix("http://testserver"))
    assert SECRET not in original.content
    assert SECRET in photo


async def test_pictures_that_were_missing_are_left_out(alice: Person) -> None:
    said = lines(a_message(imageIds=["i", "lost", "gone"]), a_message(id="n", text="", imageIds=["lost"]))
    images = lines(an_image(), an_image(id="lost", filename="images/lost.png"))
    entries = small(manifest=manifest(missing=["lost", "gone"]), messages=said, images=images)
    [session] = await bring_in(alice.laptop, entries)
    listed = (await alice.get(f"/api/sessions/{session['id']}/messages")).json()["messages"]
    assert [len(each["images"]) for each in listed] == [1, 0]
    assert await inconsistencies([alice.id]) == []


async def test_what_zip_programs_add_does_not_matter(alice: Person) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for folder in ("images/", "sessions/", "sessions/s/"):
            archive.writestr(folder, b"")
        for name, content in {**small(), "user.json": b"not read", "sessions/s/messages.md": b""}.items():
            archive.writestr(name, content)
        archive.comment = b"made by hand"
    assert (await send(alice.laptop, file.getvalue())).status_code == 201


# ---- records that are not right
def two(*records: dict[str, Any]) -> bytes:
    return lines(a_message(id="first", text="Good"), *records)


WRONG_RECORDS: dict[str, tuple[Entries, str]] = {
    "no manifest": (small(manifest=None), "manifest.json"),
    "another format": (small(manifest=manifest(format="zip")), "manifest.json"),
    "a later version": (small(manifest=manifest(version=2)), "manifest.json"),
    "a kind unheard of": (small(manifest=manifest(kind="everything")), "manifest.json"),
    "no JSON": (small(manifest=b"{"), "manifest.json"),
    "no object": (small(manifest=b"[]"), "manifest.json"),
    "a key twice": (small(session=b'{"id":"s","id":"s"}'), "sessions/s/session.json"),
    "a session of another name": (small(session=orjson.dumps(a_session(id="t"))), "sessions/s/session.json"),
    "no title": (small(session=orjson.dumps(a_session(title=" "))), "sessions/s/session.json"),
    "a long title": (small(session=orjson.dumps(a_session(title="x" * 101))), "sessions/s/session.json"),
    "tags that are none": (small(session=orjson.dumps(a_session(tags=[1]))), "sessions/s/session.json"),
    "no session": (small(session=None), "sessions/s/session.json"),
    "no messages": (small(messages=None), MESSAGES),
    "no images.jsonl": (small(images=None), "images.jsonl"),
    "a message twice": (small(messages=two(a_message(id="first"))), f"{MESSAGES}, line 2"),
    "no role": (small(messages=two(a_message(role="root"))), f"{MESSAGES}, line 2"),
    "a long text": (small(messages=two(a_message(text="x" * 32_001))), f"{MESSAGES}, line 2"),
    "a number for a text": (small(messages=two(a_message(text=7))), f"{MESSAGES}, line 2"),
    "params that are a list": (small(messages=two(a_message(params=[]))), f"{MESSAGES}, line 2"),
    "large params": (small(messages=two(a_message(params={"a": "x" * 17_000}))), f"{MESSAGES}, line 2"),
    "deep params": (
        small(messages=two() + b'{"params":' + b'{"a":' * 2000 + b"1" + b"}" * 2001),
        f"{MESSAGES}, line 2",
    ),
    "a null character": (small(messages=two(a_message(text="a\0b"))), f"{MESSAGES}, line 2"),
    "an empty line": (small(messages=two() + b"\n"), f"{MESSAGES}, line 2"),
    "half a line": (small(messages=two() + b'{"id":'), f"{MESSAGES}, line 2"),
    "a foreign picture": (small(messages=two(a_message(imageIds=["other"]))), f"{MESSAGES}, line 2"),
    "many pictures": (small(messages=two(a_message(imageIds=["i"] * 21))), f"{MESSAGES}, line 2"),
    "a foreign message": (small(messages=two(a_message(editedOf="other"))), f"{MESSAGES}, line 2"),
    "a later message": (
        small(messages=two(a_message(id="a", editedOf="b"), a_message(id="b"))),
        f"{MESSAGES}, line 2",
    ),
    "a message of its own": (small(messages=two(a_message(id="a", editedOf="a"))), f"{MESSAGES}, line 2"),
    "a time before 1970": (
        small(messages=two(a_message(createdAt="1969-12-31T23:59:59.999Z"))),
        f"{MESSAGES}, line 2",
    ),
    "a time to come": (
        small(messages=two(a_message(updatedAt="2999-01-01T00:00:00.000Z"))),
        f"{MESSAGES}, line 2",
    ),
    "no time": (small(messages=two(a_message(createdAt="yesterday"))), f"{MESSAGES}, line 2"),
    "an id like a path": (small(messages=two(a_message(id="../x"))), f"{MESSAGES}, line 2"),
    "a picture twice": (small(images=lines(an_image(), an_image())), "images.jsonl, line 2"),
    "an entry of two pictures": (small(images=lines(an_image(), an_image(id="j"))), "images.jsonl, line 2"),
    "a picture of no session": (small(images=lines(an_image(sessionId="t"))), "images.jsonl, line 1"),
    "a picture elsewhere": (
        small(images=lines(an_image(filename="manifest.json"))),
        "images.jsonl, line 1",
    ),
    "a picture without bytes": (small(picture=None), "images.jsonl, line 1"),
    "bytes without a record": (small(images=b""), "images/i.png"),
    "a type that is no word": (small(images=lines(an_image(type="a:b"))), "images.jsonl, line 1"),
    "no picture": (small(picture=b"<svg/>"), "images/i.png"),
    "a zip file for a picture": (small(picture=zipped(small())), "images/i.png"),
    "a damaged picture": (small(picture=sample("hostile/truncated_image.png")), "images/i.png"),
    "a picture that is a bomb": (small(picture=sample("hostile/decompression_bomb.gif")), "images/i.png"),
}


@pytest.mark.parametrize("name", WRONG_RECORDS)
async def test_a_wrong_record_is_refused_with_its_place(owner: Person, name: str) -> None:
    entries, place = WRONG_RECORDS[name]
    answer = await send(owner.laptop, zipped(entries))
    assert (answer.status_code, answer.json()["error"]) == (422, "unreadable_archive"), answer.text
    assert list(answer.json()["details"]) == [place], answer.text
    await assert_nothing_is_left(owner)


# ---- zip files that are not right
def renamed(name: str, content: bytes = b"x") -> bytes:
    return zipped({**small(), name: content})


def with_entry(change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    """One more entry, changed before it is written."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in small().items():
            archive.writestr(name, content)
        info = zipfile.ZipInfo("user.json")
        change(info)
        archive.writestr(info, b"/etc/passwd")
    return file.getvalue()


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def squeezed(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_BZIP2


def encrypted() -> bytes:
    content = bytearray(zipped(small()))
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    return bytes(content)


def twice() -> bytes:
    """The entry of the second session has the name of the first one's."""
    other = {name.replace("/s/", "/t/"): content for name, content in small().items() if "/s/" in name}
    return zipped({**small(), **other}).replace(b"sessions/t/", b"sessions/s/")


def lying(about: bytes) -> bytes:
    """The size of each entry, in the table of contents, is another."""
    content = bytearray(zipped(small()))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 24 : at + 28] = about
        at = content.find(b"PK\x01\x02", at + 1)
    return bytes(content)


HOSTILE_FILES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no zip file": lambda: b"hello, world" * 100,
    "half of one": lambda: zipped(small())[:-200],
    "its second half": lambda: zipped(small())[300:],
    "one without entries": lambda: zipped({}),
    "a path upwards": lambda: renamed("../evil.json"),
    "a path upwards inside": lambda: renamed("sessions/../../evil.json"),
    "an absolute path": lambda: renamed("/etc/passwd"),
    "a drive": lambda: renamed("C:/evil.json"),
    "a backslash": lambda: renamed("sessions\\s\\evil.json"),
    "a name with a line break": lambda: renamed("user.json\n"),
    "a name of another folder": lambda: renamed("sessions/t/evil.json"),
    "a nested zip file": lambda: renamed("more.zip", zipped(small())),
    "the litter of a file system": lambda: renamed("__MACOSX/._user.json"),
    "a link": lambda: with_entry(link),
    "another compression": lambda: with_entry(squeezed),
    "an encrypted entry": encrypted,
    "entries twice": twice,
    "sizes too small": lambda: lying(struct.pack("<I", 3)),
    "a name that is no UTF-8": lambda: zipped({**small(), "sessions/é.json": b""}).replace(
        "é".encode(), b"\xff\xfe"
    ),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
async def test_a_hostile_file_is_refused(owner: Person, name: str) -> None:
    answer = await send(owner.laptop, HOSTILE_FILES[name]())
    assert (answer.status_code, answer.json()["error"]) == (422, "unreadable_archive"), answer.text
    await assert_nothing_is_left(owner)


TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "a bomb of messages": lambda: zipped(small(messages=b"\n" * 20_000_000)),
    "an endless line": lambda: zipped(small(messages=b" " * 2_000_000)),
    "a bomb of a manifest": lambda: zipped(small(manifest=b" " * 2_000_000)),
    "a picture over the limit": lambda: zipped(small(picture=b"\0" * (10 * 1024 * 1024 + 1))),
    "sizes that would be too much": lambda: lying(struct.pack("<I", 0xFFFFFFF0)),
    "a long table of contents": lambda: zipped({"x" * 60_000 + str(number): b"" for number in range(80)}),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_is_too_large_is_refused_before_it_is_unpacked(owner: Person, name: str) -> None:
    answer = await send(owner.laptop, TOO_LARGE[name]())
    assert (answer.status_code, answer.json()["error"]) == (413, "archive_too_large"), answer.text
    await assert_nothing_is_left(owner)


@pytest.mark.parametrize(
    ("limits", "is_enough"),
    [
        (Limits(messages=2, entries=5, sessions=1), True),
        (Limits(messages=1), False),
        (Limits(entries=4), False),
        (Limits(sessions=0), False),
        (Limits(table=200), False),
        (Limits(unpacked=500), False),
    ],
)
async def test_the_number_of_everything_is_bounded(
    alice: Person, user: User, limits: Limits, is_enough: bool
) -> None:
    with nullcontext() if is_enough else pytest.raises(ArchiveTooLarge):
        archive = await open_archive(io.BytesIO(zipped(small())), limits)
        await import_archive(user=user, archive=archive)
    if not is_enough:
        await assert_nothing_is_left(alice)


def test_no_request_brings_in_more_than_one_commit_shows() -> None:
    assert Limits().sessions == SHOWN_AT_ONCE


async def test_the_size_of_the_file_is_bounded(alice: Person, settings: Any) -> None:
    settings.IMPORT_MAX_SIZE = 1000
    answer = await send(alice.laptop, b"x" * 200_000)
    assert (answer.status_code, answer.json()["error"]) == (413, "archive_too_large")
    settings.IMPORT_MAX_SIZE = 30_000_000
    answer = await send(alice.laptop, b"x" * 20_000_000)  # no picture form may be as large with MAX_FILE_SIZE
    assert answer.status_code == 422


mutations = st.lists(
    st.tuples(
        st.integers(0, 10_000), st.sampled_from(["set", "insert", "delete", "copy"]), st.binary(max_size=8)
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    for place, kind, data in changes:
        at = place % (len(content) + 1)
        if kind == "delete":
            content = content[:at] + content[at + len(data) :]
        elif kind == "copy":
            content = content[:at] + content[at // 2 : at // 2 + 40] + content[at:]
        else:
            content = content[:at] + data + content[at + (len(data) if kind == "set" else 0) :]
    return content


@rules(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(mutations, st.booleans(), st.sampled_from(["manifest", "session", "messages", "images"]))
async def test_a_mutilated_archive_is_taken_whole_or_refused_whole(
    alice: Person, changes: list[tuple[int, str, bytes]], inside: bool, name: str
) -> None:
    """The file as such, or one of its entries, with some bytes changed, added, gone or repeated."""
    sound = small()
    if inside:
        entry = {
            "manifest": "manifest.json",
            "session": "sessions/s/session.json",
            "messages": MESSAGES,
            "images": "images.jsonl",
        }[name]
        archive = zipped({**sound, entry: mutated(sound[entry], changes)})
    else:
        archive = mutated(zipped(sound), changes)
    answer = await send(alice.laptop, archive)
    assert answer.status_code in {201, 413, 422}, answer.text
    for session in answer.json().get("sessions", []):
        assert (await alice.delete(f"/api/sessions/{session['id']}?permanent=true")).status_code == 200
    await assert_nothing_is_left(alice)


# ---- what goes wrong on the way
async def test_a_storage_that_is_full_leaves_nothing(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    put, calls = get_storage().put, []

    async def put_some(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 3:
            raise StorageFull
        await put(*arguments)

    monkeypatch.setattr(get_storage(), "put", put_some)
    images = lines(an_image(), an_image(id="j", filename="images/j.png"))
    answer = await send(
        alice.laptop, zipped({**small(images=images), "images/j.png": picture(colour="navy")})
    )
    assert (answer.status_code, answer.json()["error"]) == (507, "storage_full")
    assert len(calls) == 4
    await assert_nothing_is_left(alice)


async def test_pictures_that_several_sessions_show_go_as_well(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture of the first session is shown in the second, when the third turns out to be wrong."""
    entries = small()
    for name in ("t", "u"):
        entries[f"sessions/{name}/session.json"] = orjson.dumps(a_session(id=name))
        entries[f"sessions/{name}/messages.jsonl"] = lines(a_message(imageIds=["i"]))
    entries["sessions/u/messages.jsonl"] += b"wrong"
    answer = await send(alice.laptop, zipped(entries))
    assert list(answer.json()["details"]) == ["sessions/u/messages.jsonl, line 2"]
    await assert_nothing_is_left(alice)


async def test_one_that_is_stopped_leaves_nothing(
    alice: Person, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()

    async def wait(*_: Any) -> None:
        reached.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(archives._Import, "publish", wait)
    archive = await open_archive(io.BytesIO(zipped(small())))
    importing = asyncio.create_task(import_archive(user=user, archive=archive))
    await reached.wait()
    assert await HiddenSession.objects.acount(alice.id, "hidden") == 1
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    await assert_nothing_is_left(alice)


async def test_what_a_crash_leaves_is_seen_by_nobody_and_can_be_removed(
    alice: Person, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any) -> None:
        raise KeyError

    async def do_nothing(*_: Any) -> None: ...

    monkeypatch.setattr(archives._Import, "publish", crash)
    monkeypatch.setattr(archives._Import, "give_up", do_nothing)
    with pytest.raises(KeyError):
        await import_archive(user=user, archive=await open_archive(io.BytesIO(zipped(small()))))
    assert await inconsistencies([alice.id]) == []
    for path in ("/api/sessions", "/api/images/user/all"):
        assert (await alice.get(path)).json()["pagination"]["total"] == 0
    [left] = (await HiddenSession.objects.apage(alice.id, "hidden", Window(2))).objects
    assert await remove_hidden(left)
    await assert_nothing_is_left(alice)


async def test_one_whose_answer_was_lost_stays(
    alice: Person, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = archives._Import.publish

    async def publish_and_fail(*arguments: Any) -> Any:
        await publish(*arguments)
        raise TimeoutError

    monkeypatch.setattr(archives._Import, "publish", publish_and_fail)
    assert (await send(alice.laptop, zipped(small()))).status_code == 503
    [session] = (await alice.get("/api/sessions")).json()["sessions"]
    assert session["messageCount"] == 2
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_import_brings_in_nothing_more(alice: Person, user: User) -> None:
    """As when a process died between the commit and its answer."""
    entries = small()
    entries["sessions/t/session.json"] = orjson.dumps(a_session(id="t", title="Dogs"))
    entries["sessions/t/messages.jsonl"] = b""
    brought = []
    for _ in range(2):
        archive = await open_archive(io.BytesIO(zipped(entries)))
        brought.append(await import_archive(user=user, archive=archive, operation=Operation("key", "print")))
    first, again = [[session.id for session in sessions] for sessions in brought]
    assert again == first
    listed = (await alice.get("/api/sessions")).json()["sessions"]
    assert {each["id"]: each["title"] for each in listed} == dict(zip(first, ("Cats", "Dogs"), strict=True))
    assert (await alice.get("/api/images/user/all")).json()["pagination"]["total"] == 1
    assert len(await stored_keys(alice.id)) == 2
    assert await HiddenSession.objects.acount(alice.id, "hidden") == 0
    assert await inconsistencies([alice.id]) == []


async def test_a_key_gives_the_same_answer(alice: Person) -> None:
    key = {"Idempotency-Key": "import-1"}
    archive = zipped(small())  # made anew it would be another, with other times in it
    first, again = [await send(alice.laptop, archive, headers=key) for _ in range(2)]
    assert (again.status_code, again.json()) == (201, first.json())
    other = await send(
        alice.laptop, zipped(small(session=orjson.dumps(a_session(title="Dogs")))), headers=key
    )
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_mismatch")
    assert (await alice.get("/api/sessions")).json()["pagination"]["total"] == 1


async def test_a_long_import_keeps_its_drafts(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for their turn are not taken for left behind."""
    monkeypatch.setattr(archives, "DRAFT_LIFE", 1000 * archives.DRAFT_LIFE)
    kept = []
    add = archives.add_to_draft

    async def add_and_count(**arguments: Any) -> None:
        kept.append(len(arguments["messages"]))
        await add(**arguments)

    monkeypatch.setattr(archives, "add_to_draft", add_and_count)
    await bring_in(alice.laptop, small())
    assert kept == [0, 0, 2]
    assert await Message.objects.acount(alice.id, "hidden") == 0


# ---- the request
async def test_only_who_is_signed_in_brings_anything_in(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    spool = asgi._spool

    async def spool_and_tell(*arguments: Any) -> bool:
        is_complete = await spool(*arguments)
        written.append(arguments[2].tell())
        return is_complete

    monkeypatch.setattr(asgi, "_spool", spool_and_tell)
    for token in ("", "Bearer nonsense"):
        assert_signed_out(await send(alice.laptop, b"x" * 5_000_000, headers={"Authorization": token}))
    assert max(written) <= asgi.JSON_BODY


async def test_exactly_one_file_in_the_right_field_is_wanted(alice: Person) -> None:
    archive = zipped(small())
    for parts in (
        [],
        [file("image", "a.zip", archive)],
        [field("archive", "abc")],
        [file("archive", "a.zip", archive)] * 2,
    ):
        answer = await post_form(alice.laptop, IMPORT, *parts)
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["archive"])
    as_bytes = await alice.laptop.request(
        "POST", IMPORT, content=archive, headers={"Content-Type": "application/zip"}
    )
    assert (as_bytes.status_code, as_bytes.json()["error"]) == (415, "unsupported_media_type")
    await assert_nothing_is_left(alice)


async def test_the_ids_in_an_archive_reach_nothing_of_anybody(alice: Person, mallory: Person) -> None:
    """Mallory knows the ids of Alice's things, and gives hers the same names."""
    session = await alice.make_session("Secret")
    image = await alice.make_image(session["id"])
    said = await alice.make_message(session["id"], "Secret", imageIds=[image["id"]])
    before = await export(alice.laptop, session["id"])
    stolen = small(messages=lines(a_message(imageIds=[image["id"]])))
    assert (await send(mallory.laptop, zipped(stolen))).status_code == 422
    stolen = small(messages=lines(a_message(editedOf=said["id"])))
    assert (await send(mallory.laptop, zipped(stolen))).status_code == 422
    [brought] = await bring_in(mallory.laptop, before)
    ids = {each["id"] for each in records(await export(mallory.laptop, brought["id"]), "images.jsonl")}
    assert not {session["id"], image["id"], alice.id} & {brought["id"], brought["userId"], *ids}
    after = await export(alice.laptop, session["id"])
    assert {name: after[name] for name in after if name != "manifest.json"} == {
        name: before[name] for name in before if name != "manifest.json"
    }


async def test_an_import_counts_as_an_upload(alice: Person, settings: Any) -> None:
    settings.RATE_LIMIT_MAX_REQUESTS = 600
    settings.RATE_LIMIT_UPLOADS = 1
    assert (await send(alice.laptop, b"")).headers["RateLimit-Policy"].startswith('"uploads";q=1')
    assert (await send(alice.laptop, zipped(small()))).status_code == 429


async def test_too_many_at_once_are_refused(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views._imports, "of_one", 0)
    answer = await send(alice.laptop, zipped(small()))
    assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
    await assert_nothing_is_left(alice)
