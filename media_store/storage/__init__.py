"""Where the bytes of pictures are kept. Callers know the port, never the place behind it."""

from functools import cache

from django.conf import settings

from media_store.storage.base import (
    Address,
    ObjectNotFound,
    Storage,
    StorageUnavailable,
    UploadAddress,
    checked,
)
from media_store.storage.local import LocalStorage

__all__ = [
    "Address",
    "LocalStorage",
    "ObjectNotFound",
    "Storage",
    "StorageUnavailable",
    "UploadAddress",
    "checked",
    "get_storage",
    "make_storage",
]


@cache
def get_storage() -> Storage:
    """The configured storage, one per process."""
    return make_storage(settings.STORAGE_TYPE)


def make_storage(name: str) -> Storage:
    """The storage that STORAGE_TYPE calls `name`. The SDK of a cloud takes a second to load: only then."""
    if name == "aws":
        from media_store.storage.aws import aws_storage

        return aws_storage()
    if name == "aliyun":
        from media_store.storage.aliyun import aliyun_storage

        return aliyun_storage()
    return LocalStorage(settings.MEDIA_DIR)
