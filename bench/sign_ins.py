"""Whether a sign-in takes as long for an unknown address as for a wrong password: `python -m bench.sign_ins`.

The two take turns, one request at a time, each from an IP of its own, so that nobody is locked out.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from statistics import median

import httpx

from bench.server import running_server

AIM = 0.10  # how far the medians may be apart
_numbers = count(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    os.environ["TRUSTED_PROXIES"] = "127.0.0.1"
    with running_server() as server, httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        account = {"email": "bench@example.com", "username": "bench", "password": "correct horse"}
        client.post("/api/auth/register", json=account).raise_for_status()
        known, unknown = zip(*rounds(client, options.requests), strict=True)
    difference = abs(median(known) - median(unknown)) / median(known)
    print(f"wrong password   {summary(known)}")
    print(f"unknown address  {summary(unknown)}")
    print(f"the medians differ by {difference:.1%}; the aim is under {AIM:.0%}")
    sys.exit(difference > AIM)


def rounds(client: httpx.Client, number: int) -> Iterator[tuple[float, float]]:
    """Milliseconds of a wrong password and of an unknown address, in turns."""
    for _ in range(number):
        yield sign_in(client, "bench@example.com"), sign_in(client, "nobody@example.com")


def sign_in(client: httpx.Client, email: str) -> float:
    number = next(_numbers)
    headers = {"X-Forwarded-For": f"203.0.{number // 256}.{number % 256}"}
    start = time.perf_counter()
    answer = client.post("/api/auth/login", json={"email": email, "password": "wrong horse"}, headers=headers)
    elapsed = (time.perf_counter() - start) * 1000
    if answer.status_code != 401:
        sys.exit(f"Expected 401, got {answer.status_code} {answer.text}")
    return elapsed


def summary(times: tuple[float, ...]) -> str:
    return f"median {median(times):6.2f} ms, {min(times):6.2f} to {max(times):6.2f}, of {len(times)}"


if __name__ == "__main__":
    main()
