"""Servers of the run's own: processes on one Redis, and what can be done to them."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from redis import Redis

from nanobanana.stress.accounts import StressError

STOP_TIMEOUT = 20  # seconds
FROZEN = 15  # seconds
LOOK = 0.01  # seconds between looks at whether it is gone


class RedisServer(Protocol):
    """What is needed of nanobanana.redisdb.embedded.EmbeddedServer."""

    url: str

    @property
    def pid(self) -> int | None: ...

    @property
    def exit_code(self) -> int | None: ...

    def launch(self) -> None: ...


class Server:
    """One `manage.py serve` with one worker."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self._process = process

    @property
    def workers(self) -> list[int]:
        """The pids of those that run now."""
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [line.split() for line in listing.stdout.splitlines()]
        return [int(pid) for pid, parent in pairs if int(parent) == self._process.pid]


class OwnServers:
    """As many servers as asked for; the nuisances are what may happen to them, by name."""

    def __init__(self, servers: Sequence[Server], redis: RedisServer) -> None:
        self.urls = [server.url for server in servers]
        self._servers = servers
        self._redis = redis

    @property
    def nuisances(self) -> dict[str, Callable[[], bool]]:
        return {
            "workers killed": self.kill_a_worker,
            "workers frozen": self.freeze_a_worker,
            "subscriptions cut": self.cut_subscriptions,
            "Redis killed": self.kill_redis,
        }

    def kill_a_worker(self) -> bool:
        pid = self._some_worker()
        return pid is not None and send(pid, signal.SIGKILL)

    def freeze_a_worker(self) -> bool:
        """Stop one for FROZEN seconds."""
        pid = self._some_worker()
        if pid is None or not send(pid, signal.SIGSTOP):
            return False
        time.sleep(FROZEN)
        return send(pid, signal.SIGCONT)

    def cut_subscriptions(self) -> bool:
        with Redis.from_url(self._redis.url) as redis:
            return bool(redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))

    def kill_redis(self) -> bool:
        if self._redis.pid is None:
            return False
        os.kill(self._redis.pid, signal.SIGKILL)
        while self._redis.exit_code is None:
            time.sleep(LOOK)
        self._redis.launch()
        return True

    def _some_worker(self) -> int | None:
        """None when none runs just then."""
        workers = [pid for server in self._servers for pid in server.workers]
        return random.choice(workers) if workers else None


def send(pid: int, number: int) -> bool:
    """Send a signal; False when the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def own_servers(project: Path, directory: Path, redis: RedisServer, count: int) -> Iterator[OwnServers]:
    """Start the servers, with their data and logs in `directory`; they are stopped at the end."""
    with ExitStack() as running:
        # One after the other: the first makes the secret that all of them share.
        servers = [running.enter_context(_served(project, directory, redis.url)) for _ in range(count)]
        yield OwnServers(servers, redis)


@contextmanager
def _served(project: Path, directory: Path, redis_url: str) -> Iterator[Server]:
    command = [sys.executable, "manage.py", "serve", "--port", "0", "--workers", "1"]
    with (directory / "console.log").open("ab") as console:
        process = subprocess.Popen(
            command,
            cwd=project,
            env={**os.environ, **settings(directory, redis_url)},
            stdout=subprocess.PIPE,
            stderr=console,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run, which stops them
        )
    try:
        yield Server(process, _announced_url(process, directory))
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def settings(directory: Path, redis_url: str) -> dict[str, str]:
    """What the run decides, whatever a .env says; empty means unset."""
    return {
        "APP_ENV": "development",
        "HOST": "127.0.0.1",
        "PUBLIC_BASE_URL": "",
        "VAR_DIR": str(directory),
        "LOG_DIR": str(directory / "logs"),
        "LOG_LEVEL": "warning",
        "REDIS_URL": redis_url,
        "REDIS_HOST": "",
        "STORAGE_TYPE": "local",
        "RATE_LIMIT_MAX_REQUESTS": "0",
        "SOCKETS_PER_USER": "10000",
    }


def _announced_url(process: subprocess.Popen[str], directory: Path) -> str:
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"HTTP +http://localhost:(\d+)", line):
            return f"http://127.0.0.1:{found[1]}"
    console = (directory / "console.log").read_text(encoding="utf-8", errors="replace")
    raise StressError(f"The server did not start: {console}")
