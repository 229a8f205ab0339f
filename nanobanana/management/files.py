"""Files that commands write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, cast

from django.core.management.base import CommandError


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A draft beside `path`, for its owner alone, that takes its place in the end: there whole or not at all.

    Raises CommandError when there is a file already, or it cannot be written.
    """
    if path.exists():
        raise CommandError(f"{path} exists already.")
    try:
        with NamedTemporaryFile(dir=path.absolute().parent, prefix=".draft-", delete=False) as draft:
            try:
                yield cast(BinaryIO, draft)
                draft.flush()
                os.fsync(draft.fileno())
                Path(draft.name).rename(path)
            except BaseException:
                Path(draft.name).unlink()
                raise
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


def opened(path: Path) -> BinaryIO:
    """The file, to read. Raises CommandError."""
    try:
        return path.open("rb")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror or error}.") from error
