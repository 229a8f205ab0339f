import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from nanobanana.redisdb import embedded
from nanobanana.redisdb.embedded import EmbeddedServer

PROJECT = Path(__file__).resolve().parents[2]
UNSET = ("PORT", "HOST", "NODE_ENV", "APP_ENV", "DEBUG", "REDIS_HOST", "REDIS_URL", "STORAGE_TYPE", "CORS_ORIGIN")
STRONG_SECRET = "k3Jx9vQ2mZ7tR5yW8bN4cL6hF1dS0gAq"


def start(*options: str, var: Path, project: Path = PROJECT, **variables: str) -> subprocess.Popen[str]:
    """`manage.py serve` with a tiny application, in a process group of its own as a shell would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.serve_tiny", *options],
        cwd=project,
        env={
            **os.environ,
            **dict.fromkeys(UNSET, ""),  # set and empty, so that a developer's .env has no say
            "JWT_SECRET": STRONG_SECRET,
            "VAR_DIR": str(var),
            "LOG_DIR": str(var / "logs"),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*options: str, var: Path, **variables: str) -> tuple[int, str]:
    """The exit code and stderr of a server that ends by itself."""
    process = start(*options, var=var, **variables)
    _, errors = process.communicate()
    return process.returncode, errors


class Server:
    """A server that is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed = self._read_announcement()
        self.port = int(re.findall(r"http://localhost:(\d+)", self.printed)[0])
        self.children = psutil.Process(process.pid).children(recursive=True)

    def _read_announcement(self) -> str:
        assert self.process.stdout
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("  logs"):
                return "".join(lines)
        pytest.fail(self.process.communicate()[1])

    def get(self, path: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).raise_for_status().text

    def open_socket(self) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/ws", compression=None)

    def has_ended(self, processes: list[psutil.Process] | None = None) -> bool:
        return all(has_ended(process) for process in self.children)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal to the process group; return the exit code and stderr."""
        os.killpg(self.process.pid, number)
        _, errors = self.process.communicate()
        return self.process.returncode, errors


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool]) -> None:
    """The time limit of the test ends what never comes."""
    while not condition():
        time.sleep(0.02)


@contextmanager
def serving(*options: str, var: Path, **variables: str) -> Iterator[Server]:
    process = start("--port", "0", *options, var=var, **variables)
    children: list[psutil.Process] = []
    try:
        server = Server(process)
        children = server.children
        yield server
    finally:
        for each in [psutil.Process(process.pid), *children] if process.poll() is None else children:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For tests that leave the processes alone."""
    with serving("--workers", "2", var=tmp_path_factory.mktemp("var")) as server:
        yield server


def test_it_serves_http_and_websocket_on_one_port(server: Server) -> None:
    assert server.get("/count") == "1"
    with server.open_socket() as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"


def test_it_prints_where_it_serves_and_keeps_what(server: Server) -> None:
    assert f"http://localhost:{server.port}\n" in server.printed
    assert f"ws://localhost:{server.port}/ws/<sessionId>\n" in server.printed
    assert "/var0\n" in server.printed
    assert "/var0/logs\n" in server.printed


def test_there_are_as_many_workers_as_asked(server: Server) -> None:
    workers = {str(child.pid) for child in server.children if "nanobanana.worker" in child.cmdline()}
    assert len(workers) == 2
    answering = set()
    wait_until(lambda: answering.add(server.get("/pid")) or answering == workers)


def test_a_huge_head_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                connection.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")
