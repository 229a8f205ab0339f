"""What every storage does alike: files here, S3 by moto, OSS by a server that checks signatures."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from media_store.storage import LocalStorage, ObjectNotFound, Storage, UploadAddress
from media_store.storage.base import CHUNK_SIZE
from media_store.storage.cloud import CloudStorage
from tests.media_store.pictures import sample
from tests.media_store.uploads import keys_of, stored_keys, until
from tests.support.oss_server import OssServer, serve_oss
from tests.support.people import Person
from tests.support.s3_server import serve_s3
from tests.support.storages import BUCKET, SECRET, aliyun_storage, aws_storage, in_use

BIG = os.urandom(2 * CHUNK_SIZE + 1000)
KEY = "alice/one/original"
OTHER = "alice/two/original"
HEADERS = {
    "Content-Type": "image/webp",
    "Content-Disposition": 'inline; filename="one.webp"',
    "Cache-Control": "private, max-age=60, immutable",
}


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with serve_s3() as url:
        yield url


@pytest.fixture(scope="module")
def oss_server() -> Iterator[OssServer]:
    with serve_oss() as server:
        yield server


@pytest.fixture(scope="module")
def s3_storage(s3_server: str) -> Storage:
    return aws_storage(s3_server)


@pytest.fixture(scope="module")
def oss_storage(oss_server: OssServer) -> Storage:
    return aliyun_storage(oss_server)


@pytest.fixture
def aws(s3_server: str, s3_storage: CloudStorage) -> CloudStorage:
    httpx.post(f"{s3_server}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3_server}/{BUCKET}").raise_for_status()
    return s3_storage


@pytest.fixture
def aliyun(oss_server: OssServer, oss_storage: CloudStorage) -> CloudStorage:
    oss_server.objects.clear()
    return oss_storage


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "media")


@pytest.fixture(params=["local", "aws", "aliyun"])
def storage(request: pytest.FixtureRequest) -> Storage:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["aws", "aliyun"])
def cloud(request: pytest.FixtureRequest) -> CloudStorage:
    return request.getfixturevalue(request.param)


async def content(storage: Storage, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in storage.open(key, start, length)])


async def keys(storage: Storage, prefix: str = "") -> set[str]:
    return {key async for key in storage.list(prefix)}


async def test_what_is_put_can_be_read(storage: Storage) -> None:
    await storage.put(KEY, b"picture")
    assert await content(storage, KEY) == b"picture"
    assert await storage.stat(KEY) == 7
    assert await storage.sha256(KEY) == hashlib.sha256(b"picture").hexdigest()


async def test_a_second_put_replaces_the_first(storage: Storage) -> None:
    await storage.put(KEY, BIG)
    await storage.put(KEY, b"picture")
    assert await content(storage, KEY) == b"picture"
    assert await keys(storage) == {KEY}


async def test_an_empty_object_is_an_object(storage: Storage) -> None:
    await storage.put(KEY, b"")
    assert await content(storage, KEY) == b""
    assert await storage.stat(KEY) == 0


async def test_large_objects_come_in_chunks(storage: Storage) -> None:
    await storage.put(KEY, BIG)
    chunks = [chunk async for chunk in storage.open(KEY)]
    assert [len(chunk) for chunk in chunks] == [CHUNK_SIZE, CHUNK_SIZE, 1000]
    assert b"".join(chunks) == BIG


async def test_any_part_can_be_read(storage: Storage) -> None:
    await storage.put(KEY, BIG)
    starts = (0, 1, CHUNK_SIZE, len(BIG) - 1, len(BIG), len(BIG) + 1)
    lengths = (None, 0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, len(BIG), len(BIG) + 1)
    for start, length in product(starts, lengths):
        end = None if length is None else start + length
        assert await content(storage, KEY, start, length) == BIG[start:end], (start, length)


async def test_a_missing_object_is_not_found(storage: Storage) -> None:
    await storage.put(KEY, b"picture")
    for length in (None, 0, 1):
        with pytest.raises(ObjectNotFound):
            await content(storage, "alice/one/thumb", 0, length)
    for call in (storage.stat, storage.sha256):
        with pytest.raises(ObjectNotFound):
            await call("mallory/one/original")


async def test_a_reader_gets_the_whole_object_although_it_is_deleted_meanwhile(storage: Storage) -> None:
    await storage.put(KEY, BIG)
    chunks = storage.open(KEY)
    read = await anext(chunks)
    await storage.delete(KEY)
    assert read + b"".join([chunk async for chunk in chunks]) == BIG


async def test_a_reader_that_leaves_early_holds_nobody_up(storage: Storage) -> None:
    await storage.put(KEY, BIG)
    for _ in range(40):  # more than there are threads or connections
        chunks = storage.open(KEY)
        await anext(chunks)
        await chunks.aclose()
    assert await content(storage, KEY) == BIG


async def test_deleting_twice_is_no_error(storage: Storage) -> None:
    await storage.put(KEY, b"picture")
    for _ in range(2):
        await storage.delete(KEY)
        await storage.delete_prefix("alice")
    assert await keys(storage) == set()


async def test_deleting_a_prefix_takes_one_user_or_picture_whole_and_no_other(storage: Storage) -> None:
    await put_some(storage)
    await storage.delete_prefix("alice/one")
    assert await keys(storage) == {"alice/two/original", "alice2/one/original"}
    await storage.delete_prefix("alice")
    assert await keys(storage) == {"alice2/one/original"}


async def test_listing_goes_by_whole_segments(storage: Storage) -> None:
    await put_some(storage)
    assert await keys(storage, "alice/one") == {KEY, "alice/one/thumb"}
    assert await keys(storage, "alice") == {KEY, "alice/one/thumb", "alice/two/original"}
    assert len(await keys(storage)) == 4
    assert await keys(storage, "mallory") == set()


async def put_some(storage: Storage) -> None:
    for key in (KEY, "alice/one/thumb", "alice/two/original", "alice2/one/original"):
        await storage.put(key, b"picture")


@pytest.mark.parametrize(
    "key", ["", "..", "../secret", "alice/../secret", "/alice", "alice/", "alice/.x", "a\n"]
)
async def test_a_key_that_is_not_ours_is_refused(storage: Storage, key: str) -> None:
    for call in (
        storage.put(key, b"picture"),
        content(storage, key),
        storage.stat(key),
        storage.sha256(key),
        storage.delete(key),
        storage.delete_prefix(key),
    ):
        with pytest.raises(ValueError, match="not a storage key"):
            await call


async def test_many_come_and_go_in_parallel(storage: Storage) -> None:
    async def come_and_go(number: int) -> None:
        key = f"alice/{number % 7}/variant-{number}"
        await storage.put(key, b"picture")
        assert await content(storage, key) == b"picture"
        await storage.delete(key)

    await asyncio.gather(*(come_and_go(number) for number in range(20)))
    assert await keys(storage) == set()


async def test_the_check_passes_and_leaves_nothing(storage: Storage) -> None:
    await storage.check()
    assert await keys(storage) == set()


def test_it_works_while_every_other_thread_of_the_loop_is_busy(storage: Storage) -> None:
    released = threading.Event()

    async def put_and_read() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = loop.run_in_executor(None, released.wait)
        try:
            await storage.put(KEY, b"picture")
            return await content(storage, KEY)
        finally:
            released.set()
            await blocked

    assert asyncio.run(put_and_read()) == b"picture"


# ---- of the clouds alone
async def test_long_lists_are_read_and_deleted_page_by_page(
    cloud: CloudStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_store.storage.cloud.KEYS_PER_PAGE", 3)
    names = {f"alice/one/variant-{number}" for number in range(10)}
    for name in names:
        await cloud.put(name, b"picture")
    assert await keys(cloud) == names
    await cloud.delete_prefix("alice")
    assert await keys(cloud) == set()


async def test_a_signed_address_is_good_for_anybody_with_the_headers_asked_for(cloud: CloudStorage) -> None:
    await cloud.put(KEY, BIG)
    url, life = await cloud.presign(KEY, life=3600, headers=HEADERS)
    assert life == 3600
    async with httpx.AsyncClient() as anybody:
        answer = await anybody.get(url)
        assert (answer.status_code, answer.content) == (200, BIG)
        assert HEADERS.items() <= {name.title(): value for name, value in answer.headers.items()}.items()
        part = await anybody.get(url, headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, BIG[5:10])


async def test_no_address_lives_for_longer_than_the_clouds_allow(cloud: CloudStorage) -> None:
    week = 7 * 24 * 3600
    assert (await cloud.presign(KEY, life=30 * 24 * 3600, headers=HEADERS)).life == week


async def test_an_address_ends_and_is_good_for_one_object_alone(
    aliyun: CloudStorage, oss_server: OssServer
) -> None:
    """moto would let all of these pass."""
    await aliyun.put(KEY, b"picture")
    await aliyun.put("alice/two/original", b"another")
    url, _ = await aliyun.presign(KEY, life=60, headers=HEADERS)
    short, _ = await aliyun.presign(KEY, life=1, headers=HEADERS)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(url)).status_code == 200
        for other in (
            url.replace("alice/one", "alice/two"),
            url.replace("image%2Fwebp", "text%2Fhtml"),
            url.replace("x-oss-expires=60&", "x-oss-expires=90&"),
            url.partition("?")[0],
        ):
            assert (await anybody.get(other)).status_code == 403, other
        assert (await anybody.put(url, content=b"mine")).status_code == 403

        async def is_over() -> bool:
            return (await anybody.get(short)).status_code == 403

        await until(is_over)


async def test_addresses_of_aws_say_what_is_signed_and_no_secret(aws: CloudStorage) -> None:
    url, _ = await aws.presign(KEY, life=3600, headers=HEADERS)
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == ["3600"]
    assert query["X-Amz-Credential"][0].startswith("AKIA5/")
    assert SECRET not in url


async def test_with_temporary_credentials_an_address_lives_no_longer_than_they_surely_do(
    s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ACCESS_KEY_ID": "ASIA5", "SECRET_ACCESS_KEY": SECRET, "SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    storage = aws_storage(s3_server, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    address = await storage.presign(KEY, life=3600, headers=HEADERS)
    assert address
    assert address.life == 600
    assert "X-Amz-Security-Token=t" in address.url


async def test_objects_are_private_and_carry_their_kind_and_encryption(
    s3_server: str, aws: CloudStorage
) -> None:
    encrypting = aws_storage(s3_server, AWS_S3_SSE="aes256")
    await encrypting.put(KEY, sample("photos/rocket.jpg"))
    head = aws._bucket._client.head_object(Bucket=BUCKET, Key=KEY)
    assert (head["ContentType"], head["ServerSideEncryption"]) == ("image/jpeg", "AES256")
    acl = aws._bucket._client.get_object_acl(Bucket=BUCKET, Key=KEY)
    assert [grant["Grantee"].get("URI") for grant in acl["Grants"]] == [None]


# ---- through the API
async def test_a_picture_comes_is_seen_and_goes(
    storage: Storage, alice: Person, session: dict[str, Any], mallory: Person
) -> None:
    with in_use(storage):
        image = await alice.make_image(session["id"], sample("photos/rocket.jpg"))
        assert await stored_keys(alice.id) == await keys_of(image)
        for name, mime in (("path", "image/jpeg"), ("thumbPath", "image/webp")):
            shown = await follow(mallory, image[name])
            assert (shown.status_code, shown.headers["Content-Type"]) == (200, mime)
            assert len(shown.content) == image["size"] or name == "thumbPath"
            head = await seen(mallory, image[name], "HEAD")
            assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(shown.content)))
            known = await seen(mallory, image[name], headers={"If-None-Match": head.headers["ETag"]})
            assert known.status_code == 304
        assert (await seen(mallory, image["path"].replace("&s=", "&s=x"))).status_code == 403
        health = (await alice.phone.http.get("/health")).json()
        assert health["services"]["storage"] == "ok"
        assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
        assert await stored_keys(alice.id) == []
        assert (await follow(mallory, image["path"])).status_code == 404


async def test_a_deleted_account_leaves_nothing_in_the_bucket(cloud: CloudStorage, alice: Person) -> None:
    with in_use(cloud):
        await alice.make_image((await alice.make_session())["id"])
        assert len(await stored_keys(alice.id)) == 2
        assert (await alice.delete("/api/auth/me", {"password": alice.password})).status_code == 200

        async def is_empty() -> bool:
            return not await stored_keys(alice.id)

        await until(is_empty)


async def seen(person: Person, url: str, method: str = "GET", **options: Any) -> httpx.Response:
    """Ask as an `<img>` does: without a token."""
    parts = urlsplit(url)
    return await person.phone.http.request(method, f"{parts.path}?{parts.query}", **options)


async def follow(person: Person, url: str) -> httpx.Response:
    answer = await seen(person, url)
    if answer.status_code != 302:
        return answer
    async with httpx.AsyncClient() as browser:
        return await browser.get(answer.headers["Location"])


# ---- addresses to put to
async def put_to(address: UploadAddress | None, data: bytes, **changes: str) -> int:
    assert address
    async with httpx.AsyncClient() as http:
        return (await http.put(address.url, content=data, headers={**address.headers, **changes})).status_code


async def test_who_has_the_address_can_put_what_was_announced(cloud: CloudStorage) -> None:
    address = await cloud.presign_put(KEY, size=7, mime="image/png", life=60)
    assert (address.headers, address.life) == ({"Content-Type": "image/png"}, 60)
    assert await put_to(address, b"picture") == 200
    assert await content(cloud, KEY) == b"picture"


async def test_oss_refuses_another_size_type_and_key(aliyun: CloudStorage) -> None:
    address = await aliyun.presign_put(KEY, size=7, mime="image/png", life=60)
    assert await put_to(address, b"pictures") == 403
    assert await put_to(address, b"picture", **{"Content-Type": "text/html"}) == 403
    assert await put_to(address._replace(url=address.url.replace("original", "thumb")), b"picture") == 403
    assert await keys(aliyun) == set()


async def test_s3_has_size_type_and_encryption_in_the_signature(aws: CloudStorage, s3_server: str) -> None:
    """moto does not verify it."""
    encrypted = aws_storage(s3_server, AWS_S3_SSE="aes256")
    address = await encrypted.presign_put(KEY, size=7, mime="image/png", life=60)
    assert address
    signed = httpx.URL(address.url).params["X-Amz-SignedHeaders"].split(";")
    assert {"content-length", "content-type", "x-amz-server-side-encryption"} <= set(signed)
    assert address.headers["x-amz-server-side-encryption"] == "AES256"
    assert await put_to(address, b"picture") == 200


async def test_what_comes_is_kept_when_it_is_whole(local: LocalStorage) -> None:
    async def chunks(*, breaks: bool) -> AsyncIterator[bytes]:
        yield b"pic"
        yield b"ture"
        if breaks:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await local.receive(KEY, chunks(breaks=True))
    await local.receive(OTHER, chunks(breaks=False))
    assert await keys(local) == {OTHER}
    assert await content(local, OTHER) == b"picture"
    assert await local.presign_put(KEY, size=7, mime="image/png", life=60) is None


async def test_no_draft_stays_of_what_did_not_come_whole(local: LocalStorage) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        raise ConnectionError
        yield b""

    with pytest.raises(ConnectionError):
        await local.receive(KEY, nothing())
    await local.delete_prefix("alice/two")  # in the threads that the draft went in
    await asyncio.sleep(0.05)
    await local.put(OTHER, b"picture")
    assert [path.name for path in local.root.rglob("*") if path.is_file()] == [OTHER.rpartition("/")[2]]


async def test_a_direct_upload_goes_past_us(cloud: CloudStorage, alice: Person) -> None:
    session, picture = await alice.make_session(), sample("photos/rocket.jpg")
    body = {"sessionId": session["id"], "mime": "image/jpeg", "size": len(picture)}
    with in_use(cloud):
        upload = (await alice.post("/api/images/uploads", body)).json()["upload"]
        async with httpx.AsyncClient() as http:
            answer = await http.put(upload["url"], content=picture, headers=upload["headers"])
        assert answer.status_code == 200
        image = (await alice.post(f"/api/images/uploads/{upload['id']}/complete")).json()["image"]
        assert image["mime"] == "image/jpeg"
        assert not [key for key in await stored_keys(alice.id) if "incoming" in key]


# ---- what was begun and never finished
IN_PARTS = f"{'A' * 26}/{'B' * 26}/original"
SOON = datetime.now(UTC) + timedelta(hours=1)


async def test_uploads_in_parts_that_were_not_finished_are_aborted(
    aws: CloudStorage, aliyun: CloudStorage, oss_server: OssServer
) -> None:
    for key in (IN_PARTS, "somebody/elses"):
        aws._bucket._client.create_multipart_upload(Bucket=BUCKET, Key=key)  # type: ignore[attr-defined]
        oss_server.in_parts[f"id of {key[0]}"] = key
    for storage in (aws, aliyun):
        assert await storage.unfinished(before=datetime(2000, 1, 1, tzinfo=UTC), remove=True) == 0
        assert await storage.unfinished(before=SOON, remove=False) == 1
        assert await storage.unfinished(before=SOON, remove=True) == 1
        assert await storage.unfinished(before=SOON, remove=True) == 0
    assert list(oss_server.in_parts.values()) == ["somebody/elses"]
