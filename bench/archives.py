"""Time and memory of exports and imports: `python -m bench.archives`. README.md explains the lines.

It fails when the worker's memory grows with the size of what is taken out or brought in.
"""

import argparse
import io
import random
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import orjson
import psutil
from PIL import Image

from bench.server import Server, running_server

MOMENT = "2024-02-03T04:05:06.789Z"
MOST_GROWTH = 64 * 1024 * 1024  # bytes of memory, of the worker, over what it had before
WORDS = (
    *("a", "cat", "with", "crown", "on", "the", "moon", "in", "late", "summer"),
    *("猫", "戴", "皇冠"),
)
PICTURE_SIDE = 1200  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="%(default)s")
    parser.add_argument("--pictures", type=int, default=100, help="%(default)s")
    options = parser.parse_args()
    with running_server() as server, TemporaryDirectory() as directory:
        archive, exported = Path(directory) / "archive.zip", Path(directory) / "exported.zip"
        make_archive(archive, options.messages, options.pictures)
        size = archive.stat().st_size / 1024**2
        print(f"{options.messages} messages, {options.pictures} pictures, {size:.1f} MB")
        with httpx.Client(base_url=server.url, trust_env=False, timeout=600) as client:
            sign_in(client)
            client.get("/api/auth/me/export")  # what is loaded once does not count
            growth = [
                measured("import", server, client, lambda: bring_in(client, archive)),
                measured("export", server, client, lambda: take_out(client, exported)),
            ]
            check(exported, options.messages, options.pictures)
    sys.exit(max(growth) > MOST_GROWTH)


def make_archive(path: Path, messages: int, pictures: int) -> None:
    """One session; every picture is shown once, by one of the messages."""
    chance = random.Random(7)
    session = {"id": "s", "title": "Bench", "createdAt": MOMENT, "updatedAt": MOMENT}
    manifest = {"format": "nanobanana-archive", "version": 1, "kind": "session"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", orjson.dumps(manifest))
        archive.writestr("sessions/s/session.json", orjson.dumps(session))
        archive.writestr("sessions/s/messages.jsonl", b"\n".join(messages_of(chance, messages, pictures)))
        archive.writestr("images.jsonl", b"\n".join(map(image_record, range(pictures))))
        for number in range(pictures):
            archive.writestr(f"images/i{number}.jpeg", picture(chance), zipfile.ZIP_STORED)


def messages_of(chance: random.Random, messages: int, pictures: int) -> Iterator[bytes]:
    for number in range(messages):
        text = " ".join(chance.choices(WORDS, k=chance.randint(5, 120)))
        said = {"id": f"m{number}", "role": "user", "text": text, "createdAt": MOMENT, "updatedAt": MOMENT}
        shown = [f"i{number}"] if number < pictures else []
        yield orjson.dumps({**said, "imageIds": shown, "params": {"strength": 0.8}})


def image_record(number: int) -> bytes:
    name = f"i{number}"
    place = {"sessionId": "s", "type": "uploaded", "filename": f"images/{name}.jpeg"}
    return orjson.dumps({"id": name, "createdAt": MOMENT, **place})


def picture(chance: random.Random) -> bytes:
    """A photograph's worth of bytes: noise, made larger so that it compresses as one does."""
    noise = Image.frombytes("RGB", (PICTURE_SIDE // 4,) * 2, chance.randbytes(3 * (PICTURE_SIDE // 4) ** 2))
    file = io.BytesIO()
    noise.resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def sign_in(client: httpx.Client) -> None:
    account = {"email": "bench@example.com", "username": "bench", "password": "correct horse"}
    answer = client.post("/api/auth/register", json=account)
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"


def bring_in(client: httpx.Client, archive: Path) -> None:
    with archive.open("rb") as file:
        answer = client.post("/api/sessions/import", files={"archive": ("archive.zip", file)})
    if answer.status_code != 201:
        sys.exit(answer.text)


def take_out(client: httpx.Client, path: Path) -> None:
    with path.open("wb") as file, client.stream("GET", "/api/auth/me/export") as answer:
        for chunk in answer.iter_raw():
            file.write(chunk)


def check(path: Path, messages: int, pictures: int) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        [lines] = [archive.read(name).count(b"\n") for name in names if name.endswith("messages.jsonl")]
        found = sum(name.startswith("images/") for name in names)
    if (lines, found) != (messages, pictures):
        sys.exit(f"Expected {messages} messages and {pictures} pictures, got {lines} and {found}.")


def measured(name: str, server: Server, client: httpx.Client, act: Callable[[], Any]) -> float:
    """Do it, and print what it took. Bytes by which the worker's memory grew at its peak."""
    worker = server.worker()
    before, cpu = worker.memory_info().rss, server.server_seconds()
    watch = Watch(worker, str(client.base_url))
    started = time.perf_counter()
    with watch:
        act()
    elapsed = time.perf_counter() - started
    growth = watch.peak - before
    print(
        f"{name}  {elapsed:6.2f} s, {server.server_seconds() - cpu:6.2f} s of CPU, memory "
        f"{before / 1024**2:.0f} → {watch.peak / 1024**2:.0f} MB at the peak (+{growth / 1024**2:.0f}); "
        f"GET /health meanwhile p50 {watch.latency(0.5):.1f}, p99 {watch.latency(0.99):.1f} ms"
    )
    return growth


class Watch:
    """Looks at a process's memory, and asks the server something small, again and again."""

    def __init__(self, worker: psutil.Process, url: str) -> None:
        self.worker, self.url = worker, url
        self.peak = 0
        self.latencies: list[float] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._look), threading.Thread(target=self._ask)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def latency(self, share: float) -> float:
        """Milliseconds in which this share of the answers came."""
        return 1000 * sorted(self.latencies)[int(share * (len(self.latencies) - 1))]

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self.peak = max(self.peak, self.worker.memory_info().rss)

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            while not self._ended.wait(0.02):
                started = time.perf_counter()
                client.get("/health")
                self.latencies.append(time.perf_counter() - started)


if __name__ == "__main__":
    main()
