"""Clouds that do not answer, answer nonsense or refuse: what clients, operators and the log are told."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured

from media_store.models import Image
from media_store.storage import Storage, StorageUnavailable, cloud
from media_store.storage.base import CHUNK_SIZE
from media_store.storage.cloud import CloudStorage, Failure, advice_on
from nanobanana.errors import APIError, StorageFull
from nanobanana.redisdb.managers import Window
from tests.media_store.pictures import sample
from tests.media_store.uploads import key_of, stored_keys
from tests.support.oss_server import OssServer, serve_oss
from tests.support.people import Person
from tests.support.storages import SECRET, aliyun_storage, aws_storage, in_use

KEY = "alice/one/original"
BIG = os.urandom(4 * CHUNK_SIZE)
HEADERS = {"Content-Type": "image/webp"}
PICTURE = sample("photos/rocket.jpg")
FAULTS = ("500", "stall", "reset")


@pytest.fixture(scope="module")
def oss() -> Iterator[OssServer]:
    with serve_oss() as oss:
        yield oss


@pytest.fixture(scope="module", params=["aliyun", "aws"])
def impatient(request: pytest.FixtureRequest, oss: OssServer) -> Storage:
    """Where a fault is all that is answered, OSS and S3 look the same."""
    oss.objects.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud, "READ_TIMEOUT", 0.3)
        return aliyun_storage(oss) if request.param == "aliyun" else aws_storage(oss.url)


@pytest.fixture
def aliyun(oss: OssServer) -> Storage:
    oss.objects.clear()
    return aliyun_storage(oss)


async def content(storage: Storage, key: str) -> bytes:
    return b"".join([chunk async for chunk in storage.open(key)])


# ---- faults
@pytest.mark.parametrize("fault", FAULTS)
async def test_an_upload_that_the_cloud_fails_is_503_and_leaves_nothing(
    impatient: Storage, oss: OssServer, alice: Person, fault: str
) -> None:
    session = await alice.make_session()
    with in_use(impatient):
        begin = time.monotonic()
        with oss.failing(fault):
            answer = await alice.upload(session["id"], PICTURE)
        assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert time.monotonic() - begin < 10
        assert "nanobanana-images" not in answer.text
        assert (await Image.objects.alist(alice.id, Window(limit=10))).objects == []
    assert oss.objects == {}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_that_passes_is_not_noticed(
    oss: OssServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(cloud, "READ_TIMEOUT", 1)
    storage = aliyun_storage(oss)
    with oss.failing(fault, times=1):
        await storage.put(KEY, BIG)
    assert await content(storage, KEY) == BIG


async def test_a_thumbnail_that_cannot_be_stored_takes_its_original_along(
    aliyun: Storage, oss: OssServer, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = aliyun.put

    async def put_all_but_thumbnails(key: str, data: bytes) -> None:
        with oss.failing("reset" if key.endswith("thumb") else "nothing"):
            await put(key, data)

    monkeypatch.setattr(aliyun, "put", put_all_but_thumbnails)
    session = await alice.make_session()
    with in_use(aliyun):
        assert (await alice.upload(session["id"], PICTURE)).status_code == 503
        assert await stored_keys(alice.id) == []


async def test_after_the_outage_all_is_well(aliyun: Storage, oss: OssServer, alice: Person) -> None:
    session = await alice.make_session()
    with in_use(aliyun):
        with oss.failing("500"):
            assert (await alice.phone.http.get("/health")).json()["services"]["storage"] == "unavailable"
            assert (await alice.upload(session["id"], PICTURE)).status_code == 503
        assert (await alice.phone.http.get("/health")).status_code == 200
        await alice.make_image(session["id"], PICTURE)


async def test_a_body_that_breaks_off_is_an_error_and_no_short_picture(
    aliyun: Storage, oss: OssServer
) -> None:
    await aliyun.put(KEY, BIG)
    with oss.failing("reset"), pytest.raises(StorageUnavailable):
        await content(aliyun, KEY)


async def test_nobody_waits_for_longer_than_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are in line before. A put that was given up may still arrive, so this cloud is its own."""
    monkeypatch.setattr(cloud, "PATIENCE", 0.5)
    with serve_oss() as oss, oss.failing("stall"):
        storage, begin = aliyun_storage(oss), time.monotonic()
        results = await asyncio.gather(
            *[storage.put(f"alice/{number}/original", b"picture") for number in range(50)],
            return_exceptions=True,
        )
        assert time.monotonic() - begin < 5
    assert {type(result) for result in results} == {StorageUnavailable}


# ---- what is said
async def explanation(storage: Storage) -> str:
    with pytest.raises(StorageUnavailable) as refused:
        await storage.put(KEY, b"picture")
    return refused.value.explanation


@pytest.mark.parametrize(
    ("changes", "code", "variable"),
    [
        ({"ALIYUN_BUCKET": "another"}, "NoSuchBucket", "ALIYUN_BUCKET"),
        ({"ALIYUN_ACCESS_KEY_ID": "LTAInobody"}, "InvalidAccessKeyId", "ALIYUN_ACCESS_KEY_ID"),
        ({"ALIYUN_ACCESS_KEY_SECRET": "wrong"}, "SignatureDoesNotMatch", "ALIYUN_ACCESS_KEY_SECRET"),
        ({"ALIYUN_REGION": "oss-cn-beijing"}, "InvalidArgument", "ALIYUN_REGION"),
        ({"ALIYUN_ENDPOINT": "http://127.0.0.1:1"}, "NoAnswer", "ALIYUN_ENDPOINT"),
    ],
)
async def test_what_is_wrong_with_the_settings_is_said_by_name(
    oss: OssServer, caplog: pytest.LogCaptureFixture, changes: dict[str, str], code: str, variable: str
) -> None:
    storage = aliyun_storage(oss, **changes)
    said = await explanation(storage)
    assert changes.get("ALIYUN_BUCKET", "nanobanana-images") in said
    assert code in said
    assert variable in said
    assert said in caplog.text
    assert oss.secret not in caplog.text + said


async def test_a_key_that_may_not_write_is_told_from_one_that_is_wrong(
    aliyun: Storage, oss: OssServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oss, "forbidden_methods", {"PUT"})
    assert "AccessDenied" in await explanation(aliyun)
    assert "policy" in await explanation(aliyun)


async def test_a_wrong_clock_is_said(
    aliyun: Storage, oss: OssServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.oss_server.SKEW", timedelta(seconds=-1))
    assert "clock" in await explanation(aliyun)


async def test_amazon_s_answers_are_explained_too(oss: OssServer, caplog: pytest.LogCaptureFixture) -> None:
    said = await explanation(aws_storage("http://127.0.0.1:1"))
    assert "nanobanana-images" in said
    assert "AWS_S3_ENDPOINT_URL" in said
    said = await explanation(aws_storage(oss.url, AWS_S3_BUCKET="Not A Bucket"))
    assert "AWS_S3_BUCKET" in said
    assert SECRET not in caplog.text


async def test_without_any_credentials_it_says_which_to_set(
    oss: OssServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    storage = aws_storage(oss.url, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in await explanation(storage)
    with pytest.raises(StorageUnavailable):
        await storage.presign(KEY, life=60, headers=HEADERS)


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (Failure(301, "PermanentRedirect", "Use the specified endpoint."), "elsewhere"),
        (Failure(400, "AuthorizationHeaderMalformed", "the region 'x' is wrong"), "elsewhere"),
        (Failure(403, "403", "Forbidden"), "policy"),
        (Failure(503, "SlowDown", "Reduce your request rate."), "status page"),
        (Failure(400, "MalformedXML", ""), "{region}"),
    ],
)
def test_answers_without_advice_of_their_own_have_one_by_status(failure: Failure, word: str) -> None:
    assert word in advice_on(failure)


@pytest.mark.parametrize("failure", [Failure(507, "x", ""), Failure(403, "QuotaExceeded", "")])
async def test_a_full_bucket_is_said(aliyun: CloudStorage, failure: Failure) -> None:
    assert isinstance(aliyun._explained(failure), StorageFull)


async def test_keys_that_are_not_ours_are_let_be(aliyun: Storage, oss: OssServer) -> None:
    await aliyun.put(KEY, b"picture")
    oss.objects["a folder/"] = oss.objects[".hidden"] = oss.objects[KEY]
    assert [key async for key in aliyun.list()] == [KEY]


@pytest.mark.parametrize(
    "changes", [{"ALIYUN_BUCKET": "Not A Bucket"}, {"ALIYUN_ENDPOINT": "http://not a host"}]
)
def test_names_that_cannot_be_are_refused_at_start(oss: OssServer, changes: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match="ALIYUN_BUCKET or ALIYUN_ENDPOINT"):
        aliyun_storage(oss, **changes)


def test_an_endpoint_that_cannot_be_is_refused_at_start(oss: OssServer) -> None:
    with pytest.raises(ImproperlyConfigured, match="AWS_S3_ENDPOINT_URL"):
        aws_storage("http://not a host")


async def test_no_secret_is_logged_however_much_is(oss: OssServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for storage in (aliyun_storage(oss), aws_storage(oss.url)):
        try:
            await storage.put(KEY, b"picture")
            await storage.presign(KEY, life=60, headers=HEADERS)
        except APIError:
            pass  # this server is none of Amazon's
    assert oss.secret not in caplog.text
    assert SECRET not in caplog.text
    assert "Signature=" not in caplog.text


def test_a_password_in_an_endpoint_is_not_shown(oss: OssServer) -> None:
    endpoint = "https://user:password@example.com"
    for storage in (aliyun_storage(oss, ALIYUN_ENDPOINT=endpoint), aws_storage(endpoint)):
        assert storage.description.endswith(" at example.com")


# ---- a CDN
async def test_behind_a_cdn_the_address_is_the_key_s_and_not_signed(
    oss: OssServer, alice: Person, session: dict[str, Any]
) -> None:
    storage = aliyun_storage(oss, CDN_BASE_URL="https://cdn.example.com/pictures")
    with in_use(storage):
        image = await alice.make_image(session["id"])
        path = image["path"].removeprefix("http://testserver")
        answer = await alice.phone.http.get(path)
        assert answer.status_code == 302
        key = await key_of(image, "original")
        assert answer.headers["Location"] == f"https://cdn.example.com/pictures/{key}"
        assert oss.objects[key].headers["Content-Type"] == "image/png"
        assert (await alice.phone.http.get(f"{path}x")).status_code == 403


# ---- redirects
async def test_a_redirect_is_kept_for_a_little_less_than_what_it_leads_to_lives(
    aliyun: Storage, alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_use(aliyun):
        image = await alice.make_image(session["id"])
        path = image["thumbPath"].removeprefix("http://testserver")
        cached = (await alice.phone.http.get(path)).headers["Cache-Control"]
        day = 24 * 3600
        assert day - 120 < int(cached.removeprefix("private, max-age=")) < day + day // 8
        monkeypatch.setattr(cloud, "LONGEST_LIFE", 100)
        assert (await alice.phone.http.get(path)).headers["Cache-Control"] == "private, max-age=40"
        monkeypatch.setattr(cloud, "LONGEST_LIFE", 30)
        assert (await alice.phone.http.get(path)).headers["Cache-Control"] == "private, max-age=0"


async def test_pages_of_other_sites_may_show_what_the_redirect_leads_to(
    aliyun: Storage, alice: Person, session: dict[str, Any]
) -> None:
    with in_use(aliyun):
        image = await alice.make_image(session["id"])
        answer = await alice.phone.http.get(image["path"].removeprefix("http://testserver"))
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.content == b""


async def test_a_size_is_made_before_the_redirect_to_it_and_kept_there(
    aliyun: Storage, oss: OssServer, alice: Person, session: dict[str, Any]
) -> None:
    with in_use(aliyun):
        image = await alice.make_image(session["id"], sample("photos/rocket.jpg"))
        key = await key_of(image, "small")
        assert key not in oss.objects
        link = await alice.phone.http.get(image["variants"]["small"].removeprefix("http://testserver"))
        token = await alice.get(f"/api/images/{image['id']}/content?variant=small")
        assert (link.status_code, token.status_code) == (302, 302)
        async with httpx.AsyncClient(trust_env=False) as browser:
            for answer in (link, token):
                shown = await browser.get(answer.headers["Location"])
                assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
                assert shown.content == oss.objects[key].data
        await alice.delete(f"/api/images/{image['id']}")
        assert not oss.objects
