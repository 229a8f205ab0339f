"""How many requests of which kind a caller may make, and who the caller is when nobody is signed in.

A budget has a quota of requests that comes back evenly over the window (GCRA): a spent one is not whole again
at once, but has room for the next request soon. `accounts/scripts/admit.lua` does the sums, in Redis.
"""

import ipaddress
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
HOPS = 10  # entries of X-Forwarded-For that are looked at
SITE = 64  # bits of an IPv6 address: a caller has the rest to choose from


@dataclass(frozen=True)
class Budget:
    """One kind of request; `setting` names how many of them fit into a window."""

    name: str
    setting: str

    @property
    def quota(self) -> int:
        """The requests of a window; 0 is no limit."""
        return getattr(settings, self.setting) if settings.RATE_LIMIT_MAX_REQUESTS else 0

    @property
    def interval(self) -> int:
        """Microseconds in which one request comes back."""
        return math.ceil(settings.RATE_LIMIT_WINDOW_MS * 1000 / max(1, self.quota))


READS = Budget("reads", "RATE_LIMIT_MAX_REQUESTS")
WRITES = Budget("writes", "RATE_LIMIT_WRITES")
UPLOADS = Budget("uploads", "RATE_LIMIT_UPLOADS")
SIGN_INS = Budget("sign-ins", "RATE_LIMIT_SIGN_INS")
READING_METHODS = {"GET", "HEAD", "OPTIONS"}


def budget_of_method(method: str | None) -> Budget:
    return READS if method in READING_METHODS else WRITES


class Standing(NamedTuple):
    """How a caller stands with a budget after a request; times in milliseconds."""

    budget: Budget
    left: int
    until_full: int
    wait: int  # before the next request is let in; 0: this one was

    @property
    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers."""
        name, window = self.budget.name, math.ceil(settings.RATE_LIMIT_WINDOW_MS / 1000)
        return {
            "RateLimit-Policy": f'"{name}";q={self.budget.quota};w={window}',
            "RateLimit": f'"{name}";r={self.left};t={math.ceil(self.until_full / 1000)}',
        }

    @property
    def retry_after(self) -> int:
        """Whole seconds, so that who waits as long is let in."""
        return math.ceil(self.wait / 1000)


def client_ip(request: HttpRequest) -> str:
    """The caller's address: the peer's, or what proxies of ours (TRUSTED_PROXIES) say in X-Forwarded-For.

    Each proxy adds at the right whom it heard from. So they are believed from the right, up to the first
    address that is no proxy of ours; what stands left of it, or of what is none, anybody may have sent.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    client = peer
    for hop in [peer, *reversed(forwarded.rsplit(",", HOPS))]:
        address = _address(hop.strip())
        if address is None:
            break
        client = str(address)
        if not _is_trusted(address):
            break
    return client


@lru_cache(1024)
def site_of(ip: str) -> str:
    """What one caller has: an IPv4 address, or the /64 network of an IPv6 address."""
    address = _address(ip)
    if not isinstance(address, ipaddress.IPv6Address):
        return ip
    return str(ipaddress.IPv6Network((int(address), SITE), strict=False))


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)
