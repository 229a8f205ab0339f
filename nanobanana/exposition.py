"""The page that Prometheus reads: what all processes of this server counted, and how its services are."""

from asyncio import gather
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from nanobanana import health, job_queue
from nanobanana.metric_files import collect_from, shared_directory
from nanobanana.metrics import REGISTRY
from nanobanana.pools import BoundedPool
from nanobanana.redisdb.client import ask

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SERVICE_UP = "nanobanana_service_up", "Whether it answers: 1, or 0."
REDIS_GAUGES = {  # by the name that INFO has for it
    "used_memory": ("nanobanana_redis_memory_bytes", "What Redis uses for data."),
    "maxmemory": ("nanobanana_redis_memory_limit_bytes", "What it may use; 0 is no limit of its own."),
    "used_memory_rss": ("nanobanana_redis_memory_resident_bytes", "What it has from the machine."),
    "connected_clients": ("nanobanana_redis_clients", "Connections to it, of all processes."),
    "blocked_clients": ("nanobanana_redis_clients_blocked", "Those that wait in a blocking command."),
}
REDIS_COUNTERS = {
    "total_commands_processed": ("nanobanana_redis_commands", "Commands it did."),
    "evicted_keys": ("nanobanana_redis_evicted_keys", "Keys it deleted for lack of memory: never, please."),
    "rejected_connections": ("nanobanana_redis_rejected_connections", "Connections it had no room for."),
}
REDIS_STATES = {  # by the name, and the word, that INFO has for it
    ("role", "master"): ("nanobanana_redis_is_master", "Whether it takes writes: 1, or 0."),
    ("aof_last_write_status", "ok"): ("nanobanana_redis_keeps_writes", "Whether the last reached its file."),
}

JOBS = "nanobanana_jobs", "Jobs by state: waiting, running, delayed (until their next try) or failed."
JOB_WORKERS = "nanobanana_job_workers", "Processes that do jobs, of all servers."

_pool = BoundedPool("metrics", threads=1, waiting=20)


class Reading(NamedTuple):
    """How the services are; without Redis there is no `info`."""

    problems: health.Problems
    info: Mapping[str, Any]
    jobs: Mapping[str, int]  # by state
    job_workers: int


class Services(Collector):
    """Gives what was read."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(*SERVICE_UP, labels=["service"])
        for service, problem in self._reading.problems.items():
            up.add_metric([service], 0 if problem else 1)
        return [up, *self._of_redis()]

    def _of_redis(self) -> Iterator[Metric]:
        info = self._reading.info
        if not info:
            return
        yield from self._of_jobs()
        for key, named in REDIS_GAUGES.items():
            yield GaugeMetricFamily(*named, value=info[key])
        for key, named in REDIS_COUNTERS.items():
            yield CounterMetricFamily(*named, value=info[key])
        for (key, word), named in REDIS_STATES.items():
            yield GaugeMetricFamily(*named, value=info[key] == word)

    def _of_jobs(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(*JOB_WORKERS, value=self._reading.job_workers)
        jobs = GaugeMetricFamily(*JOBS, labels=["state"])
        for state, number in self._reading.jobs.items():
            jobs.add_metric([state], number)
        yield jobs


async def page() -> bytes:
    """In a thread, for it can take some 50 ms to add up what eight processes counted."""
    return await _pool.run(_rendered, await _read())


async def _read() -> Reading:
    problems = await health.missing_services()
    if problems["redis"]:
        return Reading(problems, {}, {}, 0)
    try:
        info, jobs, workers = await gather(ask("INFO"), job_queue.figures(), job_queue.workers_alive())
        return Reading(problems, info, jobs, workers)
    except (RedisError, OSError, TimeoutError) as error:  # it went away just now
        return Reading({**problems, "redis": str(error)}, {}, {}, 0)


def _rendered(reading: Reading) -> bytes:
    registry = CollectorRegistry()
    directory = shared_directory()
    if directory:
        collect_from(directory, registry)
    else:
        registry.register(REGISTRY)
    registry.register(Services(reading))
    return generate_latest(registry)
