"""Storages as an operator would configure them, on servers of the tests' own."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import botocore.loaders
from django.test import override_settings

import media_store.storage
from media_store.storage import Storage, get_storage, make_storage
from tests.support.oss_server import OssServer

BUCKET = "nanobanana-images"
SECRET = "a secret of AWS"
LOADER = botocore.loaders.create_loader()


def aliyun_settings(server: OssServer) -> dict[str, str]:
    return {
        "ALIYUN_ENDPOINT": server.url,
        "ALIYUN_BUCKET": server.bucket,
        "ALIYUN_REGION": f"oss-{server.region}",
        "ALIYUN_ACCESS_KEY_ID": server.key,
        "ALIYUN_ACCESS_KEY_SECRET": server.secret,
    }


def aws_settings(url: str) -> dict[str, str]:
    return {
        "AWS_S3_ENDPOINT_URL": url,
        "AWS_S3_BUCKET": BUCKET,
        "AWS_ACCESS_KEY_ID": "AKIA5",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def aliyun_storage(server: OssServer, **changes: str) -> Storage:
    with override_settings(**{**aliyun_settings(server), **changes}):
        return make_storage("aliyun")


def aws_storage(url: str, **changes: str) -> Storage:
    # What the SDK reads of its own files for each client is always the same.
    shared = patch("botocore.loaders.create_loader", return_value=LOADER)
    with shared, override_settings(**{**aws_settings(url), **changes}):
        return make_storage("aws")


@contextmanager
def in_use(storage: Storage) -> Iterator[None]:
    """Have the server in this process keep its pictures in `storage`."""
    get_storage.cache_clear()
    try:
        with patch.object(media_store.storage, "make_storage", lambda name: storage):
            yield
    finally:
        get_storage.cache_clear()
