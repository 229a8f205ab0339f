"""Aliyun OSS as far as its protocol matters here, in memory.

It verifies signatures of version 4 by the published rules, not by the SDK's code, and the MD5 of what is put;
a range beyond the end is answered with the whole object unless the client asks for the standard's way; and it
can be told to fail.
"""

import base64
import contextlib
import hashlib
import hmac
import io
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

ALGORITHM = "OSS4-HMAC-SHA256"
SKEW = timedelta(minutes=15)
LONGEST_LIFE = 604800  # seconds
CHUNK = 64 * 1024
LATE = 0.6  # seconds


class StoredObject(NamedTuple):
    data: bytes
    headers: dict[str, str]


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str = "No.") -> None:
        self.status, self.code, self.message = status, code, message


class OssServer(ThreadingHTTPServer):
    """One bucket, `objects`, and who may use it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *, bucket: str, region: str, key: str, secret: str) -> None:
        self.bucket, self.region, self.key, self.secret = bucket, region, key, secret
        self.objects: dict[str, StoredObject] = {}
        self.in_parts: dict[str, str] = {}  # uploads that were begun: their ids and keys
        self.requests: list[str] = []  # their methods and paths
        self.forbidden_methods: set[str] = set()  # what the access key may not do
        self._fault, self._faults_left, self._healed = "", 0, threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def failing(self, how: str, *, times: int = 1_000_000) -> Iterator[None]:
        """The next `times` requests end in `500`, `stall`, or `reset` in the middle of a body.

        Or they are done and not answered: at once (`unanswered`), or when who asked has gone (`late`).
        """
        self._healed.clear()
        self._fault, self._faults_left = how, times
        try:
            yield
        finally:
            self._fault = ""
            self._healed.set()

    @contextmanager
    def failing_at_random(self, chance: random.Random, *, share: float) -> Iterator[None]:
        """So many of the requests end in one of all faults."""
        with pytest.MonkeyPatch.context() as patch:
            self._healed.clear()
            how = ("500", "stall", "reset", "unanswered", "late")
            patch.setattr(self, "next_fault", lambda: chance.choice(how) if chance.random() < share else "")
            yield
            self._healed.set()

    def next_fault(self) -> str:
        if not self._fault or self._faults_left <= 0:
            return ""
        self._faults_left -= 1
        return self._fault

    def wait_until_healed(self) -> None:
        self._healed.wait(60)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OssServer

    def do_GET(self) -> None:
        self._serve(self._list if self._address().key == "" else self._get)

    def do_HEAD(self) -> None:
        self._serve(self._get)

    def do_PUT(self) -> None:
        self._serve(self._put)

    def do_POST(self) -> None:
        self._serve(self._delete_many)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _serve(self, action) -> None:
        self._address_now = self._address()
        self.server.requests.append(f"{self.command} {self.path.partition('?')[0]}")
        self._fault = self.server.next_fault()
        if self._fault == "stall":
            self.server.wait_until_healed()
            return self._reset()
        body = self._read_body()
        if body is None:
            return self._reset()
        if self._fault in {"unanswered", "late"}:
            return self._do_unheard(action, body)
        try:
            if self._fault == "500":
                raise Refusal(500, "InternalError", "Please contact the server administrator.")
            self._authorize()
            action(body)
        except Refusal as refusal:
            self._refuse(refusal)

    def _do_unheard(self, action, body: bytes) -> None:
        """Whoever asked has gone by the time it is done."""
        if self._fault == "late":
            time.sleep(LATE)
        self.wfile = io.BytesIO()
        with contextlib.suppress(Refusal):
            action(body)
        self._reset()

    def _read_body(self) -> bytes | None:
        length = int(self.headers.get("Content-Length", 0))
        if self._fault == "reset" and length:
            self.rfile.read(length // 2)
            return None
        return self.rfile.read(length)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def _address(self) -> "_Address":
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
        return _Address(bucket, key, dict(parse_qsl(parts.query, keep_blank_values=True)))

    # ---- who may do it
    def _authorize(self) -> None:
        if self._address_now.bucket != self.server.bucket:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
        query = dict(self._address_now.query)
        if "x-oss-signature" in query:
            self._authorize_address(query)
        else:
            self._authorize_headers(query)
        if self.command in self.server.forbidden_methods:
            raise Refusal(403, "AccessDenied", "You have no right to access this object.")

    def _authorize_headers(self, query: dict[str, str]) -> None:
        scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
        if scheme != ALGORITHM:
            raise Refusal(403, "AccessDenied", "Anonymous access is forbidden.")
        given = dict(part.strip().split("=", 1) for part in rest.split(","))
        moment = self.headers["x-oss-date"]
        if abs(datetime.now(UTC) - _time(moment)) > SKEW:
            raise Refusal(403, "RequestTimeTooSkewed", "The clocks differ too much.")
        self._compare(
            given["Credential"], given["Signature"], moment, query, given.get("AdditionalHeaders", "")
        )

    def _authorize_address(self, query: dict[str, str]) -> None:
        signature = query.pop("x-oss-signature")
        moment, life = query["x-oss-date"], int(query["x-oss-expires"])
        if query["x-oss-signature-version"] != ALGORITHM or not 1 <= life <= LONGEST_LIFE:
            raise Refusal(400, "InvalidArgument", "This is no address that lives.")
        if datetime.now(UTC) > _time(moment) + timedelta(seconds=life):
            raise Refusal(403, "AccessDenied", "Request has expired.")
        additional = query.get("x-oss-additional-headers", "")
        self._compare(query["x-oss-credential"], signature, moment, query, additional)

    def _compare(
        self, credential: str, signature: str, moment: str, query: Mapping[str, str], additional: str
    ) -> None:
        key, _, scope = credential.partition("/")
        day, region, *product = scope.split("/")
        if key != self.server.key:
            raise Refusal(403, "InvalidAccessKeyId", "The key id you provided does not exist in our records.")
        if region != self.server.region or product != ["oss", "aliyun_v4_request"] or day != moment[:8]:
            raise Refusal(400, "InvalidArgument", "Invalid signing region in Authorization header.")
        canonical = self._canonical_request(query, additional)
        text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signing_key = f"aliyun_v4{self.server.secret}".encode()
        for part in scope.split("/"):
            signing_key = hmac.digest(signing_key, part.encode(), "sha256")
        if not hmac.compare_digest(hmac.digest(signing_key, text.encode(), "sha256").hex(), signature):
            raise Refusal(403, "SignatureDoesNotMatch", "The request signature we calculated differs.")

    def _canonical_request(self, query: Mapping[str, str], additional: str) -> str:
        address = self._address_now
        pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
        signed = {"content-type", "content-md5", *filter(None, additional.split(";"))}
        headers = sorted(
            (name.lower(), value.strip())
            for name, value in self.headers.items()
            if name.lower() in signed or name.lower().startswith("x-oss-")
        )
        return "\n".join(
            [
                self.command,
                quote(f"/{address.bucket}/{address.key}", safe="/-_.~"),
                "&".join(f"{name}={value}" if value else name for name, value in pairs),
                "".join(f"{name}:{value}\n" for name, value in headers),
                additional,
                self.headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
            ]
        )

    # ---- what can be done
    def _put(self, body: bytes) -> None:
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        if self.headers.get("Content-MD5", digest) != digest:
            raise Refusal(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() == "content-type" or name.lower().startswith("x-oss-meta-")
        }
        self.server.objects[self._address_now.key] = StoredObject(body, kept)
        self._answer(200, b"", {"ETag": hashlib.md5(body).hexdigest()})

    def _get(self, _: bytes) -> None:
        found = self.server.objects.get(self._address_now.key)
        if found is None:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        status, data, headers = 200, found.data, dict(found.headers)
        if part := self.headers.get("Range"):
            status, data, more = self._part(part, found.data)
            headers |= more
        for name, value in self._address_now.query.items():
            if name.startswith("response-"):
                headers[name.removeprefix("response-").title()] = value
        self._answer(status, data, headers)

    def _part(self, header: str, data: bytes) -> tuple[int, bytes, dict[str, str]]:
        first, _, last = header.removeprefix("bytes=").partition("-")
        start, end = int(first), int(last) if last else len(data) - 1
        if start >= len(data) or end >= len(data):
            if self.headers.get("x-oss-range-behavior") != "standard":
                return 200, data, {}
            if start >= len(data):
                raise Refusal(416, "InvalidRange", "The requested range cannot be satisfied.")
        end = min(end, len(data) - 1)
        return 206, data[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(data)}"}

    def _delete(self, _: bytes) -> None:
        if upload_id := self._address_now.query.get("uploadId"):
            self.server.in_parts.pop(upload_id, None)
        else:
            self.server.objects.pop(self._address_now.key, None)
        self._answer(204, b"", {})

    def _delete_many(self, body: bytes) -> None:
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        if "delete" not in self._address_now.query or self.headers.get("Content-MD5") != digest:
            raise Refusal(400, "InvalidRequest", "Deleting several needs their MD5.")
        keys = [element.text or "" for element in ElementTree.fromstring(body).iter("Key")]
        if len(keys) > 1000:
            raise Refusal(400, "MalformedXML", "At most 1000 keys.")
        for key in keys:
            self.server.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{quote(key)}</Key></Deleted>" for key in keys)
        content = f"<DeleteResult><EncodingType>url</EncodingType>{deleted}</DeleteResult>"
        self._answer(200, content.encode(), {"Content-Type": "application/xml"})

    def _list_in_parts(self) -> None:
        uploads = "".join(
            f"<Upload><Key>{quote(key)}</Key><UploadId>{upload_id}</UploadId>"
            "<Initiated>2026-01-27T10:00:00.000Z</Initiated></Upload>"
            for upload_id, key in self.server.in_parts.items()
        )
        content = (
            "<ListMultipartUploadsResult><EncodingType>url</EncodingType><NextKeyMarker/><NextUploadIdMarker/>"
            f"<IsTruncated>false</IsTruncated>{uploads}</ListMultipartUploadsResult>"
        )
        self._answer(200, content.encode(), {"Content-Type": "application/xml"})

    def _list(self, _: bytes) -> None:
        query = self._address_now.query
        if "uploads" in query:
            return self._list_in_parts()
        if query.get("list-type") != "2":
            raise Refusal(501, "NotImplemented")
        limit = min(1000, int(query.get("max-keys", 100)))
        after = base64.b64decode(query.get("continuation-token", "")).decode()
        prefix = query.get("prefix", "")
        keys = sorted(key for key in list(self.server.objects) if key.startswith(prefix) and key > after)
        page, rest = keys[:limit], keys[limit:]
        token = base64.b64encode(page[-1].encode()).decode() if rest else ""
        self._answer(200, self._listing(page, token), {"Content-Type": "application/xml"})

    def _listing(self, keys: list[str], token: str) -> bytes:
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-27T10:00:00.000Z</LastModified>"
            f"<ETag>x</ETag><Type>Normal</Type><Size>{len(self.server.objects[key].data)}</Size>"
            "<StorageClass>Standard</StorageClass></Contents>"
            for key in keys
        )
        more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
        return (
            f"<ListBucketResult><Name>{self.server.bucket}</Name><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}{contents}</ListBucketResult>"
        ).encode()

    # ---- answers
    def _refuse(self, refusal: Refusal) -> None:
        content = f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>"
        self._answer(refusal.status, content.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "x-oss-request-id": "5C3D9175B6FC201293AD4890"}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self._fault == "reset":
            self.wfile.write(content[: len(content) // 2])
            return self._reset()
        for start in range(0, len(content), CHUNK):
            self.wfile.write(content[start : start + CHUNK])


class _Address(NamedTuple):
    bucket: str
    key: str
    query: dict[str, str]


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@contextmanager
def serve_oss() -> Iterator[OssServer]:
    server = OssServer(
        bucket="nanobanana-images", region="cn-hangzhou", key="LTAI5t", secret="a secret of OSS"
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
