"""Where the bytes of pictures are kept. Callers know the port, never the place behind it."""

from functools import cache

from django.conf import settings

from media_store.storage.base import ObjectNotFound, Storage
from media_store.storage.local import LocalStorage

__all__ = ["LocalStorage", "ObjectNotFound", "Storage", "get_storage"]


@cache
def get_storage() -> Storage:
    """The configured storage, one per process."""
    return LocalStorage(settings.MEDIA_DIR)
