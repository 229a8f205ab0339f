"""The files through which the processes of one server count together.

prometheus_client has each process count in files of its own, which it maps into memory, and adds up those of
all. It names them by process id, so that every process that ever died leaves some. Here a process takes the
lowest slot that nobody has, by a lock that ends with it: whoever comes after it counts on in its files, and
what it said of itself, such as its open sockets, is known to be over.
"""

import fcntl
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, multiprocess, values

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # the library's own name for the directory
LOCK = "slot{}.lock"
KINDS = (
    "counter",
    "histogram",
    "gauge_livesum",
)  # of the metrics there are, as the library names their files
SIZE = 1024 * 1024  # bytes, as the library takes

_lock_of_this_process: int | None = None


def begin(directory: Path) -> None:
    """Have the processes that are started from here on count together, from zero.

    Who counts there already, such as a `manage.py worker` beside a server that is started again, goes on.
    """
    directory.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(directory)
    for slot in _slots_of_the_dead(directory):
        for path in directory.glob(f"*_{slot}.db"):
            path.unlink()


def count_together() -> None:
    """Take a slot, if there is a directory for them; before the first metric is made."""
    global _lock_of_this_process
    directory = shared_directory()
    if directory is None or _lock_of_this_process is not None:
        return
    directory.mkdir(parents=True, exist_ok=True)  # a worker may be there before its server
    slot, _lock_of_this_process = _take_slot(directory)
    multiprocess.mark_process_dead(slot, str(directory))
    try:
        _reserve(directory, slot)
    except OSError:  # the disk is full: better to serve and count for itself alone
        return
    values.ValueClass = values.MultiProcessValue(lambda: slot)


def shared_directory() -> Path | None:
    """None when this process counts for itself alone, in memory."""
    name = os.environ.get(VARIABLE)
    return Path(name) if name else None


def collect_from(directory: Path, registry: CollectorRegistry) -> None:
    """Have the registry give what all processes counted, and what the living ones say of themselves."""
    for slot in _slots_of_the_dead(directory):
        multiprocess.mark_process_dead(slot, str(directory))
    multiprocess.MultiProcessCollector(registry, str(directory))


def _slots_of_the_dead(directory: Path) -> Iterator[int]:
    """Each is nobody else's while it is looked at."""
    for slot in count():
        path = directory / LOCK.format(slot)
        if not path.exists():
            return
        with path.open("r+b") as file:
            if _lock(file.fileno()):
                yield slot


def _take_slot(directory: Path) -> tuple[int, int]:
    for slot in count():
        file = os.open(directory / LOCK.format(slot), os.O_RDWR | os.O_CREAT, 0o600)
        if _lock(file):
            return slot, file
        os.close(file)
    raise AssertionError("There is no end of slots.")


def _reserve(directory: Path, slot: int) -> None:
    """Have the disk keep room for all that is mapped: a write where it has none would end the process."""
    for kind in KINDS:
        file = os.open(directory / f"{kind}_{slot}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):  # macOS has none
                os.posix_fallocate(file, 0, max(os.fstat(file).st_size, SIZE))
        finally:
            os.close(file)


def _lock(file: int) -> bool:
    """Whether nobody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
