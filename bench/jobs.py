"""What the engine of jobs costs: `python -m bench.jobs`. README.md explains the rows."""

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.server import settings

JOBS = 2000
LATENCIES = 20
IDLE = 10.0  # seconds


async def main(count: int) -> None:
    from nanobanana.job_worker import JobWorker
    from nanobanana.jobs import job

    done: list[float] = []

    @job("nothing")
    async def do_nothing(*, n: int) -> None:
        done.append(time.perf_counter())

    await do_nothing.enqueue(n=-1)  # the script is known from here on
    start, spent = time.perf_counter(), time.process_time()
    for n in range(count):
        await do_nothing.enqueue(n=n)
    row("enqueue", seconds=(time.perf_counter() - start) / count, cpu=(time.process_time() - spent) / count)
    worker = JobWorker([do_nothing], at_once=8)
    start, spent = time.perf_counter(), time.process_time()
    worker.start()
    await until(done, count + 1)
    row("do, of many that wait", (time.perf_counter() - start) / count, (time.process_time() - spent) / count)
    row("until an idle worker does it, median", statistics.median(await latencies(do_nothing, done)))
    await idle()
    await worker.stop()


async def latencies(job: Any, done: list[float]) -> list[float]:
    found = []
    for n in range(LATENCIES):
        await asyncio.sleep(0.5)
        start, count = time.perf_counter(), len(done)
        await job.enqueue(n=JOBS + n)
        await until(done, count + 1)
        found.append(done[-1] - start)
    return found


async def idle() -> None:
    from nanobanana.redisdb.client import get_client

    async def commands() -> int:
        return (await get_client().info("stats"))["total_commands_processed"]

    before, spent = await commands(), time.process_time()
    await asyncio.sleep(IDLE)
    each = (await commands() - before) / IDLE
    share = (time.process_time() - spent) / IDLE
    print(f"an idle worker: {share:.1%} of a core, {each:.0f} commands to Redis a second")


async def until(done: list[float], count: int) -> None:
    while len(done) < count:  # noqa: ASYNC110  # a thread appends
        await asyncio.sleep(0.002)


def row(name: str, seconds: float, cpu: float | None = None) -> None:
    of_cpu = f", {cpu * 1e6:,.0f} µs of CPU" if cpu is not None else ""
    print(f"{name}: {seconds * 1e3:,.2f} ms{of_cpu}")


def run(count: int) -> None:
    with TemporaryDirectory(prefix="nanobanana-bench-") as directory:
        os.environ.update(settings(directory, 3001), DJANGO_SETTINGS_MODULE="nanobanana.settings")
        import django

        django.setup()
        from nanobanana.redisdb import embedded

        with embedded.EmbeddedServer(Path(directory, "redis")):
            asyncio.run(main(count))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    sys.exit(run(parser.parse_args().jobs))
