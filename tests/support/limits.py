"""Rate limits, which are off in the suite, switched on for one test."""

import ipaddress
import itertools
from typing import Any

HOUR = 3_600_000  # milliseconds: nothing comes back while a test runs
_numbers = itertools.count(1)


def set_limits(
    settings: Any,
    *,
    reads: int = 1000,
    writes: int = 1000,
    uploads: int = 1000,
    sign_ins: int = 1000,
    window: int = HOUR,
) -> None:
    """With pytest-django's `settings`, which takes it back after the test."""
    settings.RATE_LIMIT_MAX_REQUESTS = reads
    settings.RATE_LIMIT_WRITES = writes
    settings.RATE_LIMIT_UPLOADS = uploads
    settings.RATE_LIMIT_SIGN_INS = sign_ins
    settings.RATE_LIMIT_WINDOW_MS = window


def new_ip() -> str:
    """An address that no test used before."""
    number = next(_numbers)
    return f"203.0.{number // 256}.{number % 256}"


def trust(settings: Any, *proxies: str) -> None:
    """Believe what these addresses and networks say in X-Forwarded-For, until the end of the test."""
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(proxy) for proxy in proxies]
