"""What each serving process says of itself, for as long as it lives."""

import asyncio
import resource
import sys
import time
from pathlib import Path

from redis.exceptions import RedisError

from nanobanana.metrics import (
    LOOP_DELAY,
    REDIS_SECONDS,
    REDIS_SILENCES,
    WORKER_CPU,
    WORKER_MEMORY,
    WORKER_STARTS,
    WORKERS,
)
from nanobanana.redisdb.client import ask

INTERVAL = 1.0  # seconds
STATM = Path("/proc/self/statm")


async def keep_asking_redis() -> None:
    """How long it takes to answer, as a request finds it: with the delays of this process."""
    while True:
        start = time.perf_counter()
        try:
            await ask("PING")
            REDIS_SECONDS.observe(time.perf_counter() - start)
        except (RedisError, OSError, TimeoutError):  # who needs it says so in the log
            REDIS_SILENCES.inc()
        await asyncio.sleep(INTERVAL)


async def keep_telling() -> None:
    WORKER_STARTS.inc()
    WORKERS.set(1)
    told = 0.0
    while True:
        spent = time.process_time()
        WORKER_CPU.inc(spent - told)
        told = spent
        WORKER_MEMORY.set(resident_memory())
        due = time.perf_counter() + INTERVAL
        await asyncio.sleep(INTERVAL)
        LOOP_DELAY.observe(max(0.0, time.perf_counter() - due))


def resident_memory() -> int:
    """Bytes; where there is no /proc, the most it ever was."""
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
