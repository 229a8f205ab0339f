"""The application in processes of its own, started by `manage.py serve`, on the tests' Redis."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.web_server import WebServer

PROJECT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT = 20  # seconds


@contextmanager
def served(log_dir: Path, *, workers: int = 1, **variables: str) -> Iterator[WebServer]:
    """A server that answers; what it prints is in `console.log` among its logs."""
    log_dir.mkdir(parents=True)
    command = [sys.executable, "manage.py", "serve", "--port", "0", "--workers", str(workers)]
    environment = {**os.environ, "LOG_DIR": str(log_dir), **variables}
    with (log_dir / "console.log").open("wb") as console:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=console, text=True
        )
    try:
        yield WebServer(_announced_port(process))
    finally:
        process.terminate()
        process.communicate(timeout=STOP_TIMEOUT)


def _announced_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("  HTTP"):
            return int(line.rpartition(":")[2])
    raise RuntimeError("The server did not start; see its console.log.")
