"""Files of lines that several processes append to, and that are turned over when they are full.

A line is one write at the end of the file, which the system does whole or not at all, whoever else writes.
Who finds the file full renames it to `<name>.1`, what was `.1` to `.2` and so on; the others notice within a
second, and write the lines of that second into what is `.1` by then. So no line is lost or mixed with others,
and none waits for another process: a lock for each line would cost forty times the write.
"""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_EVERY = 1.0  # seconds


class LogFile:
    """Opened with its first line, its directory made; `size` in bytes, `count` of files in all."""

    def __init__(self, path: Path, *, size: int, count: int) -> None:
        self._path, self._size, self._count = path, size, count
        self._file: int | None = None
        self._look_at = 0.0
        self._is_torn = False
        self._lock = threading.Lock()  # of the threads of this process

    def write(self, line: bytes) -> None:
        """A line with its end. One that cannot be written, for the disk is full, goes to standard error."""
        try:
            with self._lock:
                self._append(line)
        except OSError as error:
            sys.stderr.write(f"{self._path}: {error.strerror}: {line.decode(errors='replace')}")

    def close(self) -> None:
        with self._lock:
            self._close()

    def _append(self, line: bytes) -> None:
        if time.monotonic() >= self._look_at:
            self._look()
        assert self._file is not None
        if self._is_torn:
            line = b"\n" + line
        written = os.write(self._file, line)
        self._is_torn = written < len(line)
        if self._is_torn:
            raise OSError(0, "there was room for a part of the line only")

    def _look(self) -> None:
        """Open the file, and again when it was moved away; turn it over when it is full."""
        if self._file is None or not self._is_current():
            self._open()
        elif os.fstat(self._file).st_size >= self._size:
            self._turn_over()
            self._open()
        self._look_at = time.monotonic() + LOOK_EVERY

    def _is_current(self) -> bool:
        assert self._file is not None
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self._close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _turn_over(self) -> None:
        with self._alone():
            if not self._is_current():
                return  # another process was quicker
            names = [self._path, *(self._numbered(number) for number in range(1, self._count))]
            for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
                if newer.exists():
                    newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time, by a lock on the directory."""
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)
