"""A stored file as an HTTP answer: ranges, revalidation (RFC 9110), headers that keep its bytes harmless."""

import re
from collections.abc import AsyncIterator
from typing import NamedTuple

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from media_store.storage import Address, Storage
from nanobanana.errors import APIError
from nanobanana.preconditions import is_unchanged

ONE_PIECE = 64 * 1024  # bytes; up to here an answer is not streamed
RANGE = re.compile(r"bytes=(?!-$)([0-9]{0,40})-([0-9]{0,40})", re.ASCII | re.IGNORECASE)
MARGIN = 60  # seconds that an address still lives when browsers forget where it was
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class RangeNotSatisfiable(APIError):
    status = 416
    code = "range_not_satisfiable"
    message = "The file has no bytes in this range."


class ByteRange(NamedTuple):
    start: int
    length: int


async def file_response(
    request: HttpRequest,
    *,
    storage: Storage,
    key: str,
    size: int,
    mime: str,
    etag: str,
    max_age: int,
    filename: str,
    may_change: bool = False,
) -> HttpResponseBase:
    """Answer a GET or HEAD for the object `key` of `size` bytes, or send the client where it lies.

    Raises ObjectNotFound, RangeNotSatisfiable.

    `etag` is strong and has its quotes; `max_age` is in seconds; `filename` is a name of ours;
    what may change is asked for anew each time, and not sent again while it is the same.
    """
    lasting = f"private, max-age={max_age}, immutable"
    headers = {
        **SAFETY_HEADERS,
        "Content-Type": mime,
        "Content-Disposition": content_disposition_header(False, filename),
        "ETag": etag,
        "Cache-Control": "private, no-cache" if may_change else lasting,
        "Accept-Ranges": "bytes",
    }
    if is_unchanged(request.headers.get("If-None-Match", ""), etag):
        return HttpResponseNotModified(headers=headers)
    if request.method == "HEAD":
        await storage.stat(key)
        return HttpResponse(headers={**headers, "Content-Length": str(size)})
    elsewhere = {**_headers_elsewhere(headers), "Cache-Control": lasting}  # that address has one content
    if address := await storage.presign(key, life=max_age, headers=elsewhere):
        return _redirect(address, 0 if may_change else max_age)
    part = requested_part(request, size=size, etag=etag)
    return await _content_response(storage, key, size, part, headers)


def requested_part(request: HttpRequest, *, size: int, etag: str) -> ByteRange | None:
    """What a GET asks for; None is everything, also where the client's first part is of another version."""
    if request.headers.get("If-Range", etag) != etag:
        return None
    return parse_range(request.headers.get("Range", ""), size)


def parse_range(header: str, size: int) -> ByteRange | None:
    """The one range asked for, cut to the file's `size`. Raises RangeNotSatisfiable when that leaves nothing.

    Several ranges, another unit and nonsense are None: the header may be ignored (RFC 9110, 14.2).
    """
    match = RANGE.fullmatch(header)
    if not match:
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    if start >= size:
        raise RangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    end = min(int(last) + 1, size) if first and last else size
    return ByteRange(start, end - start)


def _headers_elsewhere(headers: dict[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("Content-Type", "Content-Disposition")}


def _redirect(address: Address, max_age: int) -> HttpResponse:
    """Browsers keep it while both links live, so that they find what they have of that address again."""
    life = max(0, min(max_age, address.life) - MARGIN)
    headers = {**SAFETY_HEADERS, "Location": address.url, "Cache-Control": f"private, max-age={life}"}
    response = HttpResponse(status=302, headers=headers)
    del response["Content-Type"]
    return response


async def _content_response(
    storage: Storage, key: str, size: int, part: ByteRange | None, headers: dict[str, str]
) -> HttpResponseBase:
    start, length = part or ByteRange(0, size)
    status = 206 if part else 200
    headers = {**headers, "Content-Length": str(length)}
    if part:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    chunks = storage.open(key, start, length)
    if length <= ONE_PIECE:
        return HttpResponse(b"".join([chunk async for chunk in chunks]), status=status, headers=headers)
    first = await anext(chunks)  # what is missing shows before the answer has begun
    return StreamingHttpResponse(_joined(first, chunks), status=status, headers=headers)


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
