"""The storages that commands name."""

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from media_store.storage import Storage, make_storage
from nanobanana.storage_choice import missing_variables


def storage_named(name: str) -> Storage:
    """The storage that STORAGE_TYPE calls `name`. Raises CommandError while something of it is not set."""
    if missing := missing_variables(name):
        raise CommandError(f"The storage {name} lacks {' and '.join(missing)}: set them first.")
    try:
        return make_storage(name)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
