"""Aliyun OSS, with signatures of version 4."""

import hashlib
import random
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import oss2
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from oss2.exceptions import ClientError, OssError, RequestError, ServerError

from media_store.storage import cloud
from media_store.storage.base import OURS, Address, UploadAddress
from media_store.storage.cloud import SHA256, CloudStorage, Failure, Head, KeyPage

LONGEST_PAUSE = 0.5  # seconds before the second attempt
NOTED_SHA256 = f"x-oss-meta-{SHA256}"

Result = TypeVar("Result")


def aliyun_storage() -> CloudStorage:
    """The storage that the ALIYUN_… settings describe."""
    return CloudStorage(OssBucket(), cdn_base_url=settings.CDN_BASE_URL)


class OssBucket:
    variables: Mapping[str, str] = {
        "bucket": "ALIYUN_BUCKET",
        "region": "ALIYUN_REGION",
        "endpoint": "ALIYUN_ENDPOINT",
        "key": "ALIYUN_ACCESS_KEY_ID",
        "secret": "ALIYUN_ACCESS_KEY_SECRET",
    }
    errors: tuple[type[Exception], ...] = (
        OssError,
        OSError,
        ParseError,
    )  # the last two: bytes that end too early, and a stranger's

    def __init__(self) -> None:
        region = settings.ALIYUN_REGION.removeprefix("oss-")
        endpoint = settings.ALIYUN_ENDPOINT or f"https://oss-{region}.aliyuncs.com"
        host = urlsplit(endpoint).netloc.rpartition("@")[2]
        self.description = f'OSS bucket "{settings.ALIYUN_BUCKET}" of region {region} at {host}'
        try:
            self._bucket = oss2.Bucket(
                oss2.AuthV4(settings.ALIYUN_ACCESS_KEY_ID, settings.ALIYUN_ACCESS_KEY_SECRET),
                endpoint,
                settings.ALIYUN_BUCKET,
                session=oss2.Session(pool_size=cloud.THREADS),
                connect_timeout=(cloud.CONNECT_TIMEOUT, cloud.READ_TIMEOUT),
                enable_crc=False,  # in Python alone it takes a second for some megabytes; there is an MD5
                region=region,
            )
        except ClientError as error:
            raise ImproperlyConfigured(f"ALIYUN_BUCKET or ALIYUN_ENDPOINT is wrong: {error.body}") from error

    def failure(self, error: Exception) -> Failure:
        if isinstance(error, ServerError):
            return Failure(error.status, error.code or str(error.status), error.message or "no reason given")
        return Failure(0, "NoAnswer", error.body if isinstance(error, OssError) else str(error))

    def put(self, key: str, data: bytes, mime: str, sha256: str) -> None:
        md5 = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        headers = {"Content-Type": mime, "Content-MD5": md5, NOTED_SHA256: sha256}
        attempt_twice(lambda: self._bucket.put_object(key, data, headers=headers))

    def open(self, key: str, start: int, length: int | None) -> Any:
        end = None if length is None else start + length - 1
        part = (start, end) if start or length is not None else None
        # Otherwise a part that goes beyond the end would be answered with the whole.
        headers = {"x-oss-range-behavior": "standard"}
        try:
            return attempt_twice(lambda: self._bucket.get_object(key, byte_range=part, headers=headers))
        except ServerError as error:
            if error.code == "InvalidRange":
                return None
            raise

    def head(self, key: str) -> Head:
        answer = attempt_twice(lambda: self._bucket.head_object(key))
        return Head(answer.content_length, answer.headers.get(NOTED_SHA256))

    def delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            attempt_twice(lambda: self._bucket.delete_object(keys[0]))
        else:
            attempt_twice(lambda: self._bucket.batch_delete_objects(list(keys)))

    def page(self, prefix: str, token: str | None, limit: int) -> KeyPage:
        answer = attempt_twice(
            lambda: self._bucket.list_objects_v2(prefix, continuation_token=token or "", max_keys=limit)
        )
        return KeyPage([found.key for found in answer.object_list], answer.next_continuation_token or None)

    def unfinished(self, before: datetime, remove: bool) -> int:
        number = 0
        for upload in oss2.MultipartUploadIterator(self._bucket):
            if not OURS.fullmatch(upload.key) or upload.initiation_date >= before.timestamp():
                continue
            number += 1
            if remove:
                self._bucket.abort_multipart_upload(upload.key, upload.upload_id)
        return number

    def presign(self, key: str, life: int, headers: Mapping[str, str]) -> Address:
        wanted = {f"response-{name.lower()}": value for name, value in headers.items()}
        return Address(self._bucket.sign_url("GET", key, life, params=wanted, slash_safe=True), life)

    def presign_put(self, key: str, size: int, mime: str, life: int) -> UploadAddress:
        headers = {"Content-Type": mime}
        url = self._bucket.sign_url(
            "PUT",
            key,
            life,
            headers={**headers, "Content-Length": str(size)},
            slash_safe=True,
            additional_headers={"content-length"},
        )
        return UploadAddress(url, headers, life)


def attempt_twice(call: Callable[[], Result]) -> Result:
    """What `call` returns, the second time when the cloud gave no answer or had trouble."""
    for _ in range(cloud.ATTEMPTS - 1):  # the SDK itself never tries again
        try:
            return call()
        except RequestError:
            pass
        except ServerError as error:
            if error.status < 500:
                raise
        time.sleep(random.uniform(0, LONGEST_PAUSE))
    return call()
