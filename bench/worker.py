"""What one worker takes, and who waits for whom: `python -m bench.worker`. README.md explains the rows."""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from statistics import quantiles

import httpx

from bench.server import Server, running_server

MEGABYTE = 1024 * 1024
PAUSE = 0.005  # seconds between two requests of who is watched
_addresses = count(1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of signing in (%(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="that sign in (%(default)s)")
    options = parser.parse_args()
    os.environ["TRUSTED_PROXIES"] = "127.0.0.1"  # so that each sign-in comes from another address
    began = time.perf_counter()
    with running_server() as server:
        print(
            f"first answer after {time.perf_counter() - began:.2f} s, with the start of the Redis   aim 3.00"
        )
        print(f"memory at the start {megabytes(server):.0f} MB")
        asyncio.run(sign_in_beside_others(server, options.clients, options.seconds))
        print(f"memory after that   {megabytes(server):.0f} MB   aim 120")


def megabytes(server: Server) -> float:
    return server.worker().memory_info().rss / MEGABYTE


async def sign_in_beside_others(server: Server, clients: int, seconds: float) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
        watched, *_ = [await register(http, number) for number in range(-1, clients)]
        async with asyncio.timeout(3 * seconds + 30):
            alone = await latencies(http, watched, seconds / 3)
            print(f"GET me alone                      {summary(alone)}")
            async with signing_in(http, clients) as signed_in:
                beside = await latencies(http, watched, seconds)
    print(f"GET me while {clients} clients sign in     {summary(beside)}   aim of p99 20.0")
    print(f"sign-ins a second                 {len(signed_in) / seconds:.1f}")


async def register(http: httpx.AsyncClient, number: int) -> str:
    body = {"email": f"bench{number}@example.com", "username": "bench", "password": "correct horse"}
    answer = await http.post("/api/auth/register", json=body)
    return answer.raise_for_status().json()["token"]


async def latencies(http: httpx.AsyncClient, token: str, seconds: float) -> list[float]:
    """Milliseconds of one request after the other."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        answer = await http.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
        found.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
        await asyncio.sleep(PAUSE)
    return found


@asynccontextmanager
async def signing_in(http: httpx.AsyncClient, clients: int) -> AsyncIterator[list[int]]:
    """Have so many clients sign in again and again inside the block; the list grows with each time."""
    done: list[int] = []
    tasks = [asyncio.create_task(sign_in_forever(http, number, done)) for number in range(clients)]
    try:
        yield done
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(result, asyncio.CancelledError):
                raise SystemExit(f"A client could not sign in: {result!r}")


async def sign_in_forever(http: httpx.AsyncClient, number: int, done: list[int]) -> None:
    body = {"email": f"bench{number}@example.com", "password": "correct horse"}
    for address in addresses():
        answer = await http.post("/api/auth/login", json=body, headers={"X-Forwarded-For": address})
        answer.raise_for_status()
        done.append(number)


def addresses() -> Iterator[str]:
    for number in _addresses:
        yield f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}"


def summary(times: list[float]) -> str:
    percentiles = quantiles(times, n=100)
    return f"p50 {percentiles[49]:5.1f} ms, p99 {percentiles[98]:5.1f} ms, of {len(times)}"


if __name__ == "__main__":
    main()
