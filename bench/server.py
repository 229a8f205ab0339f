"""A server of its own for a benchmark: an embedded Redis, a temporary directory, a free port."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from nanobanana.redisdb import embedded

ROOT = Path(__file__).resolve().parent.parent
EXPRESS = ROOT / "bench" / "express"
REFERENCES = {
    "fastapi": [
        sys.executable,
        *["-m", "uvicorn", "bench.reference_fastapi:app", "--port", "PORT", "--no-access-log"],
    ],
    "express": ["node", str(EXPRESS / "server.mjs")],
}
START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 15.0


class Target:
    """Any running server that can be measured: its address, and what its processes use."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process = process

    def server_seconds(self) -> float:
        """User and system time of the process, its workers and what works for them, but of no Redis."""
        return sum(seconds(process) for process in self.processes())

    def redis_seconds(self) -> float:
        """The same of a Redis that belongs to the server."""
        return sum(seconds(process) for process in self._processes() if is_redis(process))

    def worker(self) -> psutil.Process:
        """The process that answers, which is the largest."""
        return max(self.processes(), key=lambda process: process.memory_info().rss)

    def processes(self) -> list[psutil.Process]:
        """The server's, its workers' and what works for them, but no Redis."""
        return [process for process in self._processes() if not is_redis(process)]

    def _processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


class Server(Target):
    """A server of the benchmark's own, and where its Redis is."""

    def __init__(self, port: int, process: psutil.Process, directory: Path) -> None:
        super().__init__(port, process)
        self.redis_url = embedded.url(directory / "redis")


def seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def is_redis(process: psutil.Process) -> bool:
    return process.name().startswith(("valkey-server", "redis-server"))


@contextmanager
def running_server(*, workers: int = 1) -> Iterator[Server]:
    with TemporaryDirectory(prefix="nanobanana-bench-") as directory:
        port, log = free_port(), Path(directory) / "output.log"
        with log.open("wb") as output:
            command = [sys.executable, "manage.py", "serve", "--workers", str(workers)]
            environment = {**os.environ, **settings(directory, port)}
            process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            server = Server(port, process, Path(directory))
            wait_until_ready(server, process, log)
            yield server
        finally:
            stop(process)


@contextmanager
def running_reference(name: str, redis_url: str) -> Iterator[Target]:
    """One of the reference servers, on the same Redis."""
    port = free_port()
    command = [part.replace("PORT", str(port)) for part in REFERENCES[name]]
    with TemporaryDirectory(prefix="nanobanana-bench-") as directory:
        log = Path(directory) / "output.log"
        with log.open("wb") as output:
            environment = {**os.environ, "REDIS_URL": redis_url, "PORT": str(port)}
            process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            target = Target(port, process)
            wait_until_ready(target, process, log)
            yield target
        finally:
            stop(process)


def settings(directory: str, port: int) -> dict[str, str]:
    """What the benchmark decides, whatever a .env says; empty means unset."""
    return {
        "APP_ENV": "development",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_BASE_URL": "",
        "VAR_DIR": directory,
        "LOG_DIR": f"{directory}/logs",
        "LOG_LEVEL": "warning",
        "REDIS_URL": "",
        "REDIS_HOST": "",
        "STORAGE_TYPE": "local",
        "RATE_LIMIT_MAX_REQUESTS": "0",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server: Target, process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{server.url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.1)
    sys.exit(f"The server did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


def stop(process: psutil.Popen) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except psutil.TimeoutExpired:
        for child in [*process.children(recursive=True), process]:
            child.kill()
