"""A load client: keeps several connections busy with one request and times every answer."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

ANSWER_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Load:
    """What to send: the bytes of one HTTP/1.1 request, and the status that each answer must have."""

    port: int
    request: bytes
    status: int
    count: int
    concurrency: int


@dataclass(frozen=True)
class Timing:
    elapsed: float  # seconds
    latencies: list[float]  # seconds


def run(load: Load) -> Timing:
    """Send the request `count` times over `concurrency` connections."""
    return asyncio.run(run_connections(load))


async def run_connections(load: Load) -> Timing:
    latencies: list[float] = []
    turns = iter(range(load.count))
    started = time.perf_counter()
    await asyncio.gather(*(run_connection(load, turns, latencies) for _ in range(load.concurrency)))
    return Timing(time.perf_counter() - started, latencies)


async def run_connection(load: Load, turns: Iterator[int], latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    for _ in turns:
        sent_at = time.perf_counter()
        writer.write(load.request)
        status, body = await asyncio.wait_for(read_answer(reader), ANSWER_TIMEOUT)
        latencies.append(time.perf_counter() - sent_at)
        if status != load.status:
            raise RuntimeError(f"expected {load.status}, got {status}: {body[:300]!r}")
    writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    if length is None:
        raise RuntimeError(f"an answer without Content-Length: {head!r}")
    return int(head[9:12]), await reader.readexactly(int(length[1]))
