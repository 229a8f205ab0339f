"""Everything that is counted and timed, once; docs/metrics.md explains each.

What a label can be is bounded by the code: routes as declared, codes of errors, names of pools; never
what a client sent. A child of a metric is looked up once and kept by whoever counts often.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from nanobanana.errors import APIError
from nanobanana.metric_files import count_together

DONE = "done"  # the outcome of what no error ended
OTHER = "other"  # stands for all that a client made up
FAILED = "failed"  # of what an error ended that is none of nanobanana/errors.py

disable_created_metrics()
count_together()
REGISTRY = CollectorRegistry()  # what this process counted; with others, it is added up from their files

# ---- requests
REQUESTS = Counter(
    "nanobanana_http_requests",
    "Answered requests.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "nanobanana_http_request_seconds",
    "From a whole request to the beginning of its answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)

# ---- sockets, and what devices are told
SOCKETS = Gauge("nanobanana_sockets_open", "Open sockets.", registry=REGISTRY, multiprocess_mode="livesum")
HANDSHAKES = Counter(
    "nanobanana_socket_handshakes",
    "Sockets that were asked for, by what came of it: `connected`, or the close code.",
    ["outcome"],
    registry=REGISTRY,
)
SOCKETS_CLOSED = Counter(
    "nanobanana_sockets_closed", "Sockets that ended, by their close code.", ["code"], registry=REGISTRY
)
DELIVERIES = Counter("nanobanana_deliveries", "Events handed to sockets and long polls.", registry=REGISTRY)
RECOVERIES = Counter(
    "nanobanana_recoveries", "Devices that returned and got what they had missed.", registry=REGISTRY
)
RESYNCS = Counter(
    "nanobanana_resyncs", "Devices told to reload, for the log no longer reached back.", registry=REGISTRY
)
DOORBELL_LOSSES = Counter(
    "nanobanana_doorbell_losses", "Lost connections of those who listen for events.", registry=REGISTRY
)

# ---- accounts
SIGN_INS = Counter(
    "nanobanana_sign_ins",
    "Attempts to come in: `password`, `registration` or `refresh`, by outcome.",
    ["how", "outcome"],
    registry=REGISTRY,
)

# ---- pictures
UPLOADS = Counter(
    "nanobanana_uploads", "Pictures that were sent, by outcome.", ["type", "outcome"], registry=REGISTRY
)
UPLOADED_BYTES = Counter(
    "nanobanana_uploaded_bytes", "What the stored ones of them came as.", ["type"], registry=REGISTRY
)

# ---- jobs
JOB_RUNS = Counter(
    "nanobanana_job_runs", "Tries that ended, by outcome.", ["name", "outcome"], registry=REGISTRY
)
JOB_SECONDS = Histogram(
    "nanobanana_job_seconds",
    "How long they took.",
    ["name"],
    buckets=(0.01, 0.1, 0.5, 1, 5, 30, 60, 300, 1800),
    registry=REGISTRY,
)

# ---- what bounds work
POOL_WAITS = Histogram(
    "nanobanana_pool_wait_seconds",
    "How long work waited for a thread.",
    ["pool"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
    registry=REGISTRY,
)
POOL_SECONDS = Histogram(
    "nanobanana_pool_work_seconds",
    "How long it then took.",
    ["pool"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 30),
    registry=REGISTRY,
)
POOL_REFUSALS = Counter(
    "nanobanana_pool_refusals",
    "Work that was refused, for too much was in line.",
    ["pool"],
    registry=REGISTRY,
)

# ---- Redis; more of it comes from Redis itself, in nanobanana/exposition.py
REDIS_SECONDS = Histogram(
    "nanobanana_redis_ping_seconds",
    "How long Redis took to answer a PING of a process, once a second.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
REDIS_SILENCES = Counter("nanobanana_redis_silences", "Those that it did not answer.", registry=REGISTRY)

# ---- the processes
WORKER_STARTS = Counter("nanobanana_worker_starts", "Processes that began to serve.", registry=REGISTRY)
WORKERS = Gauge("nanobanana_workers", "Processes that serve.", registry=REGISTRY, multiprocess_mode="livesum")
WORKER_MEMORY = Gauge(
    "nanobanana_worker_memory_bytes",
    "Resident memory of all of them.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
WORKER_CPU = Counter("nanobanana_worker_cpu_seconds", "User and system time they took.", registry=REGISTRY)
LOOP_DELAY = Histogram(
    "nanobanana_loop_delay_seconds",
    "By how much their event loops came late to a timer.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    registry=REGISTRY,
)


class RequestMeters(NamedTuple):
    """What a request is counted and timed with."""

    requests: Counter
    seconds: Histogram

    def note(self, seconds: float) -> None:
        self.requests.inc()
        self.seconds.observe(seconds)


@cache
def meters_of(method: str, route: str, status: int) -> RequestMeters:
    """Each argument is to be one of a few."""
    return RequestMeters(REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(method, route))


@contextmanager
def counted(counter: Counter, **labels: str) -> Iterator[None]:
    """Count what is done inside by its `outcome`: `done`, the code of the error, or `failed`."""
    outcome = FAILED
    try:
        yield
        outcome = DONE
    except APIError as error:
        outcome = error.code
        raise
    finally:
        counter.labels(**labels, outcome=outcome).inc()
