import os
from pathlib import Path

import orjson
import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from hypothesis import example, given
from hypothesis import strategies as st

from media_store.storage import LocalStorage, ObjectNotFound
from media_store.streaming import (
    ONE_PIECE,
    ByteRange,
    RangeNotSatisfiable,
    file_response,
    parse_range,
)
from nanobanana.exception_handler import to_response
from nanobanana.preconditions import is_unchanged

SMALL = os.urandom(1000)
LARGE = os.urandom(700_000)
ETAG = '"01JABCDEFGHJKMNPQRSTVWXYZ1-original"'


@pytest.fixture
async def storage(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path)
    await storage.put("alice/small/original", SMALL)
    await storage.put("alice/large/original", LARGE)
    return storage


def get(**headers: str) -> HttpRequest:
    return RequestFactory().get("/media/x", headers=headers)


async def respond(storage: LocalStorage, request: HttpRequest, name: str = "small") -> HttpResponseBase:
    return await file_response(
        request,
        storage=storage,
        key=f"alice/{name}/original",
        size=len(LARGE if name == "large" else SMALL),
        mime="image/webp",
        etag=ETAG,
        max_age=3600,
        filename="picture.webp",
    )


async def body(response: HttpResponseBase) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return b"".join([chunk async for chunk in response])
    assert isinstance(response, HttpResponse)
    return response.content


async def test_a_file_comes_whole_with_headers_that_keep_it_harmless(storage):
    response = await respond(storage, get())
    assert response.status_code == 200
    assert await body(response) == SMALL
    assert dict(response.items()) == {
        "Content-Type": "image/webp",
        "Content-Length": "1000",
        "Content-Disposition": 'inline; filename="picture.webp"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=3600, immutable",
        "Accept-Ranges": "bytes",
        "ETag": ETAG,
    }


async def test_a_large_file_is_streamed(storage):
    response = await respond(storage, get(), "large")
    assert response.streaming
    assert response["Content-Length"] == "700000"
    assert await body(response) == LARGE


async def test_a_part_comes_as_206(storage):
    response = await respond(storage, get(range="bytes=10-19"), "large")
    assert response.status_code == 206
    assert not response.streaming
    assert response["Content-Range"] == "bytes 10-19/700000"
    assert response["Content-Length"] == "10"
    assert await body(response) == LARGE[10:20]


async def test_a_large_part_is_streamed(storage):
    response = await respond(storage, get(range=f"bytes=5-{5 + ONE_PIECE}"), "large")
    assert response.status_code == 206
    assert response.streaming
    assert response["Content-Length"] == str(ONE_PIECE + 1)
    assert await body(response) == LARGE[5 : 6 + ONE_PIECE]


@pytest.mark.parametrize("header", ["bytes=0-1,5-9", "bytes=9-5", "lines=1-2", "nonsense"])
async def test_a_range_that_is_not_served_is_ignored(storage, header):
    response = await respond(storage, get(range=header))
    assert response.status_code == 200
    assert "Content-Range" not in response
    assert await body(response) == SMALL


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
async def test_a_range_beyond_the_end_is_416(storage, header):
    with pytest.raises(RangeNotSatisfiable) as refused:
        await respond(storage, get(range=header))
    response = to_response(refused.value)
    assert response.status_code == 416
    assert response["Content-Range"] == "bytes */1000"
    assert "Cache-Control" not in response
    assert orjson.loads(await body(response))["error"] == "range_not_satisfiable"


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("tags", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
async def test_a_client_that_has_it_gets_304(storage, method, tags):
    request = getattr(RequestFactory(), method)(
        "/media/x", headers={"if-none-match": tags, "range": "bytes=0-1"}
    )
    response = await respond(storage, request)
    assert response.status_code == 304
    assert await body(response) == b""
    assert response["ETag"] == ETAG
    assert response["Cache-Control"] == "private, max-age=3600, immutable"
    assert "Content-Length" not in response


@pytest.mark.parametrize("tags", ['"other"', "other", '"other", W/"another"', ETAG.strip('"')])
async def test_a_client_that_has_another_version_gets_the_file(storage, tags):
    response = await respond(storage, get(if_none_match=tags))
    assert response.status_code == 200
    assert await body(response) == SMALL


async def test_a_part_is_sent_if_the_rest_is_of_this_version(storage):
    response = await respond(storage, get(range="bytes=0-1", if_range=ETAG))
    assert response.status_code == 206
    assert await body(response) == SMALL[:2]


@pytest.mark.parametrize("if_range", ['"other"', f"W/{ETAG}", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
async def test_the_whole_is_sent_if_the_rest_is_of_another_version(storage, if_range):
    request = get(range="bytes=2000-", if_range=if_range)
    response = await respond(storage, request)
    assert response.status_code == 200
    assert await body(response) == SMALL


async def test_head_tells_what_get_would_and_sends_no_bytes(storage):
    answer = await respond(storage, get(), "large")
    head = await respond(storage, RequestFactory().head("/media/x", headers={"range": "bytes=0-1"}), "large")
    assert (head.status_code, dict(head.items())) == (200, dict(answer.items()))
    assert await body(head) == b""


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("name", ["small", "large"])
async def test_a_missing_file_is_not_found_before_the_answer_begins(storage, method, name):
    await storage.delete_prefix("alice")
    with pytest.raises(ObjectNotFound):
        await respond(storage, getattr(RequestFactory(), method)("/media/x"), name)


def naive_range(header: str, size: int) -> range | None:
    """The positions that a well-formed single range selects, counted one by one; None where it is ignored."""
    unit, equals, numbers = header.partition("=")
    first, dash, last = numbers.partition("-")
    digits = set("0123456789")
    if unit.lower() != "bytes" or not equals or not dash or not set(first + last) <= digits:
        return None
    if not first:
        return range(size)[-int(last) :] if last.strip("0") else range(0) if last else None
    if last and int(last) < int(first):
        return None
    wanted = [at for at in range(size) if int(first) <= at and (not last or at <= int(last))]
    return range(wanted[0], wanted[-1] + 1) if wanted else range(0)


positions = st.one_of(
    st.just(""), st.integers(0, 60).map(str), st.integers(0, 10**39).map(str), st.just("007")
)
well_formed = st.builds(
    "{}={}-{}".format, st.sampled_from(["bytes", "Bytes", "byte", ""]), positions, positions
)
garbled = st.text(st.sampled_from("bytes=-0123, +٣ſ"), max_size=12)


@given(st.one_of(well_formed, garbled), st.integers(0, 50))
@example("bytes=0-49", 50)
@example("bytes=-1", 0)
@example("byteſ=0-1", 50)
@example("bytes=0-1\n", 50)
def test_ranges_are_read_as_a_naive_reader_would(header, size):
    expected = naive_range(header, size)
    if expected is None:
        assert parse_range(header, size) is None
    elif not expected:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(header, size)
    else:
        assert parse_range(header, size) == ByteRange(expected.start, len(expected))


def test_a_number_of_absurd_length_is_ignored():
    assert parse_range(f"bytes={'9' * 5000}-", 50) is None


@given(st.text())
def test_no_list_of_tags_breaks_the_comparison(header):
    assert not is_unchanged(header, ETAG) or header.strip() == "*"
