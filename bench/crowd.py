"""Fifty uploads of 10 MB at once, and what others notice of it: `python -m bench.crowd`."""

import argparse
import io
import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from statistics import quantiles
from typing import Any

import httpx
import psutil
from PIL import Image

from bench.requests import created, make_session
from bench.server import Server, running_server

AT_ONCE = 50
SIDE = 1_820  # pixels of noise each way, which make a PNG of just under 10 MB
MEGABYTE = 1024 * 1024
PAUSE = 0.02  # seconds between looks
MOST_MEMORY, SLOWEST_HEALTH = 300, 200  # megabytes, milliseconds


class Watch(threading.Thread):
    """The memory of all processes of the server together, until it is stopped."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.memory: list[int] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(5 * PAUSE):
            self.memory.append(memory_of(self.server))


def health_times(url: str, is_over: Any) -> list[float]:
    """How many milliseconds /health takes, again and again; in a process of its own."""
    times = []
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        while not is_over.wait(PAUSE):
            began = time.perf_counter()
            client.get("/health").raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
    return times


def memory_of(server: Server) -> int:
    """Bytes; what processes share counts once."""
    total = 0
    for process in server.processes():
        with suppress(psutil.Error):  # it ended meanwhile
            total += process.memory_full_info().pss
    return total


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description=__doc__)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="uploads (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that serve (%(default)s)")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with (
        running_server(workers=options.workers) as server,
        ProcessPoolExecutor(1, mp_context=spawn) as other,
        spawn.Manager() as manager,
    ):
        token, session_id = sign_up(server)
        upload(server, token, session_id, noise(64))  # decoders are there
        pictures = [noise(SIDE) for _ in range(options.at_once)]
        watch = Watch(server)
        before = memory_of(server)
        watch.start()
        is_over = manager.Event()
        asking = other.submit(health_times, server.url, is_over)
        with ThreadPoolExecutor(options.at_once) as threads:
            took = list(threads.map(partial(upload, server, token, session_id), pictures))
        watch.is_over.set()
        is_over.set()
        health = asking.result()
        watch.join()
    slowest = quantiles(health, n=100)[98]
    grown = (max(watch.memory) - before) / MEGABYTE
    print(
        f"{options.at_once} uploads of {len(pictures[0]) / MEGABYTE:.1f} MB, the last after {max(took):.1f} s"
    )
    print(f"memory grew by {grown:.0f} MB of {before / MEGABYTE:.0f} (aim: under {MOST_MEMORY})")
    print(f"/health p99 {slowest:.0f} ms of {len(health)} (aim: under {SLOWEST_HEALTH})")


def sign_up(server: Server) -> tuple[str, str]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        account = {"email": "crowd@example.com", "username": "crowd", "password": "correct horse"}
        token = created(client.post("/api/auth/register", json=account))["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        return token, make_session(client, "A crowd")


def upload(server: Server, token: str, session_id: str, picture: bytes) -> float:
    """How many seconds it took."""
    began = time.perf_counter()
    with httpx.Client(base_url=server.url, trust_env=False, timeout=300) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        files = {"image": ("noise.png", picture)}
        created(client.post("/api/images/upload", data={"sessionId": session_id}, files=files))
    return time.perf_counter() - began


def noise(side: int) -> bytes:
    output = io.BytesIO()
    image = Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))
    image.save(output, "PNG", compress_level=1)
    return output.getvalue()


if __name__ == "__main__":
    main()
