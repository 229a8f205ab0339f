"""Amazon S3, and what speaks its protocol: MinIO, R2."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from media_store.storage import cloud
from media_store.storage.base import OURS, Address, UploadAddress
from media_store.storage.cloud import SHA256, CloudStorage, Failure, Head, KeyPage

# Credentials of a role end by themselves; the SDK renews them ten minutes before, at the latest.
LIFE_BY_TEMPORARY_CREDENTIALS = 600  # seconds
ENCRYPTIONS = {
    "none": {},
    "aes256": {"ServerSideEncryption": "AES256"},
    "aws:kms": {"ServerSideEncryption": "aws:kms"},
}
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


def aws_storage() -> CloudStorage:
    """The storage that the AWS_… settings describe."""
    return CloudStorage(S3Bucket(), cdn_base_url=settings.CDN_BASE_URL)


class S3Bucket:
    variables: Mapping[str, str] = {
        "bucket": "AWS_S3_BUCKET",
        "region": "AWS_REGION",
        "endpoint": "AWS_S3_ENDPOINT_URL",
        "key": "AWS_ACCESS_KEY_ID",
        "secret": "AWS_SECRET_ACCESS_KEY",
    }
    errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError)

    def __init__(self) -> None:
        self._name = settings.AWS_S3_BUCKET
        self._encryption = ENCRYPTIONS[settings.AWS_S3_SSE]
        self._session = boto3.session.Session(
            # With neither, the SDK looks where it always does: in its files, in the machine's role.
            aws_access_key_id=settings.AWS_ACCESS_KEY_ID or None,
            aws_secret_access_key=settings.AWS_SECRET_ACCESS_KEY or None,
            region_name=settings.AWS_REGION,
        )
        endpoint = settings.AWS_S3_ENDPOINT_URL or None
        try:
            self._client = self._session.client("s3", endpoint_url=endpoint, config=_config(endpoint))
        except (ValueError, BotoCoreError) as error:
            raise ImproperlyConfigured(f"AWS_REGION or AWS_S3_ENDPOINT_URL is wrong: {error}.") from error
        host = urlsplit(self._client.meta.endpoint_url).netloc.rpartition("@")[2]
        self.description = f'S3 bucket "{self._name}" of region {settings.AWS_REGION} at {host}'

    def failure(self, error: Exception) -> Failure:
        if isinstance(error, ClientError):
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            answer = error.response["Error"]
            return Failure(status, answer.get("Code", str(status)), answer.get("Message", "no reason given"))
        if isinstance(error, NO_CREDENTIALS):
            return Failure(0, "NoCredentials", str(error))
        if isinstance(error, ParamValidationError):
            return Failure(0, "InvalidBucketName", self._name)
        return Failure(0, "NoAnswer", str(error))

    def put(self, key: str, data: bytes, mime: str, sha256: str) -> None:
        self._client.put_object(
            Bucket=self._name,
            Key=key,
            Body=data,
            ContentType=mime,
            ContentMD5=b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
            Metadata={SHA256: sha256},
            **self._encryption,
        )

    def open(self, key: str, start: int, length: int | None) -> Any:
        part = {}
        if start or length is not None:
            end = "" if length is None else start + length - 1
            part["Range"] = f"bytes={start}-{end}"
        try:
            return self._client.get_object(Bucket=self._name, Key=key, **part)["Body"]
        except ClientError as error:
            if self.failure(error).code == "InvalidRange":
                return None
            raise

    def head(self, key: str) -> Head:
        answer = self._client.head_object(Bucket=self._name, Key=key)
        return Head(answer["ContentLength"], answer["Metadata"].get(SHA256))

    def delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            self._client.delete_object(Bucket=self._name, Key=keys[0])
            return
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._client.delete_objects(Bucket=self._name, Delete=objects)
        for error in answer.get("Errors", [])[:1]:
            raise ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}, "DeleteObjects")

    def page(self, prefix: str, token: str | None, limit: int) -> KeyPage:
        place = {"ContinuationToken": token} if token else {}
        answer = self._client.list_objects_v2(Bucket=self._name, Prefix=prefix, MaxKeys=limit, **place)
        return KeyPage(
            [found["Key"] for found in answer.get("Contents", [])], answer.get("NextContinuationToken")
        )

    def unfinished(self, before: datetime, remove: bool) -> int:
        number = 0
        for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._name):
            for upload in page.get("Uploads", []):
                if not OURS.fullmatch(upload["Key"]) or upload["Initiated"] >= before:
                    continue
                number += 1
                if remove:
                    self._client.abort_multipart_upload(
                        Bucket=self._name, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
        return number

    def presign(self, key: str, life: int, headers: Mapping[str, str]) -> Address:
        life = self._possible(life)
        wanted = {f"Response{name.replace('-', '')}": value for name, value in headers.items()}
        parameters = {"Bucket": self._name, "Key": key, **wanted}
        url = self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=life)
        return Address(url, life)

    def presign_put(self, key: str, size: int, mime: str, life: int) -> UploadAddress:
        life = self._possible(life)
        headers = {"Content-Type": mime}
        if self._encryption:
            headers["x-amz-server-side-encryption"] = self._encryption["ServerSideEncryption"]
        bound = {"ContentType": mime, "ContentLength": size, **self._encryption}
        parameters = {"Bucket": self._name, "Key": key, **bound}
        url = self._client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=life)
        return UploadAddress(url, headers, life)

    def _possible(self, life: int) -> int:
        """How long what is signed now stays good, at most so long."""
        credentials = self._session.get_credentials()
        is_temporary = credentials and credentials.get_frozen_credentials().token
        return min(life, LIFE_BY_TEMPORARY_CREDENTIALS) if is_temporary else life


def _config(endpoint: str | None) -> Config:
    return Config(
        signature_version="s3v4",
        # With "auto", signed addresses of every region would lead to the first one, which redirects them.
        s3={"addressing_style": "path" if endpoint else "virtual"},
        connect_timeout=cloud.CONNECT_TIMEOUT,
        read_timeout=cloud.READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": cloud.ATTEMPTS},
        max_pool_connections=cloud.THREADS,
        # Not every server of this protocol knows the newer checksums; what is put carries its MD5.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
