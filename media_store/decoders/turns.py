"""Turns of the decoders of this machine, as locks on bytes of one file.

They hold between processes that know nothing of each other, and the system takes back those of one that dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGE = 1 << 20  # the byte for large pictures, behind those for places


class Turns:
    """At most `count` processes are in a `place()` at once, and one of them in `large()`."""

    def __init__(self, path: Path, count: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # For as long as this process: closing it would give up every lock that the process has on the file.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count = count

    @contextmanager
    def place(self) -> Iterator[None]:
        free = (number for number in range(self._count) if self._is_mine(number))
        number = next(free, None)
        if number is None:
            number = os.getpid() % self._count
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)
        with self._giving_back(number):
            yield

    @contextmanager
    def large(self) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, LARGE)
        with self._giving_back(LARGE):
            yield

    def _is_mine(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def _giving_back(self, number: int) -> Iterator[None]:
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
