"""CPU time per request of one worker process: `python -m bench.requests`. README.md explains the columns."""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from bench import load
from bench.server import ROOT, Target, running_server

PHOTO = ROOT / "tests" / "data" / "photos" / "hubble_deep_field.jpg"
ROUNDS = 5
CONCURRENCY = 16
REQUESTS = 600  # in each round
UPLOADS = 16
WARM_UP = 50
NAMES = ("health", "me", "sessions", "session", "messages", "post", "upload")


@dataclass
class Case:
    """One call: how it is asked, its aim in milliseconds of CPU, and what was measured, round by round."""

    name: str
    title: str
    request: httpx.Request
    count: int
    status: int = 200
    aim: float | None = None
    cpu: list[float] = field(default_factory=list)  # milliseconds per request
    redis: list[float] = field(default_factory=list)
    throughput: list[float] = field(default_factory=list)  # requests per second
    latencies: list[float] = field(default_factory=list)  # milliseconds


def main() -> None:
    options = arguments()
    spawn = multiprocessing.get_context("spawn")
    with running_server() as server, ProcessPoolExecutor(1, mp_context=spawn) as client:
        cases = [case for case in prepare(server, options.requests) if case.name in options.only]
        for case in cases:
            client.submit(load.run, load_of(case, server, min(case.count, WARM_UP))).result()
        for number in range(1, ROUNDS + 1):
            print(f"round {number} of {ROUNDS}", file=sys.stderr)
            for case in cases:
                measure(case, server, client)
    print("\n".join(table(cases)))
    if options.json:
        options.json.write_text(json.dumps([figures(case) for case in cases], indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.requests", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument("--requests", type=int, default=REQUESTS, help="per call and round (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser.parse_args()


def prepare(server: Target, count: int) -> list[Case]:
    """A user with 20 sessions, one of them with 50 messages that show 10 images, and the calls about them."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        account = {"email": "bench@example.com", "username": "bench", "password": "correct horse"}
        token = created(client.post("/api/auth/register", json=account))["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        sessions = [make_session(client, f"Session {number}") for number in range(20)]
        full, busy = sessions[0], sessions[1]
        fill(client, full)
        return list(cases(client, full, busy, count))


def make_session(client: httpx.Client, title: str) -> str:
    return created(client.post("/api/sessions", json={"title": title}))["session"]["id"]


def fill(client: httpx.Client, session_id: str) -> None:
    images = [created(client.send(upload(client, session_id)))["image"]["id"] for _ in range(10)]
    for number in range(50):
        message = {"role": "user", "text": f"Message {number}: more light, please.", "imageIds": []}
        if number % 5 == 0:
            message["imageIds"] = [images[number // 5]]
        created(client.post(f"/api/sessions/{session_id}/messages", json=message))


def created(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != 201:
        raise SystemExit(f"{response.request.url}: expected 201, got {response.status_code} {response.text}")
    return response.json()


def upload(client: httpx.Client, session_id: str) -> httpx.Request:
    form = {"sessionId": session_id, "type": "uploaded"}
    files = {"image": (PHOTO.name, PHOTO.read_bytes(), "image/jpeg")}
    return client.build_request("POST", "/api/images/upload", data=form, files=files)


def cases(client: httpx.Client, full: str, busy: str, count: int) -> Iterator[Case]:
    def get(path: str) -> httpx.Request:
        return client.build_request("GET", path)

    message = {"role": "user", "text": "Put the cat on the moon, please.", "params": {"strength": 0.8}}
    post = client.build_request("POST", f"/api/sessions/{busy}/messages", json=message)
    yield Case("health", "GET /health", get("/health"), count)
    yield Case("me", "GET me", get("/api/auth/me"), count, aim=0.5)
    yield Case("sessions", "GET 20 sessions", get("/api/sessions?limit=20"), count, aim=1.0)
    yield Case("session", "GET one session", get(f"/api/sessions/{full}"), count, aim=1.0)
    yield Case("messages", "GET 50 messages", get(f"/api/sessions/{full}/messages?limit=50"), count, aim=1.0)
    yield Case("post", "POST message", post, count, status=201, aim=1.0)
    yield Case("upload", "POST image, 1000x872 JPEG", upload(client, busy), min(count, UPLOADS), status=201)


def load_of(case: Case, server: Target, count: int) -> load.Load:
    return load.Load(server.port, wire(case.request), case.status, count, CONCURRENCY)


def wire(request: httpx.Request) -> bytes:
    """The bytes of a request on an HTTP/1.1 connection."""
    body = request.read()
    lines = [b"%s: %s" % header for header in request.headers.raw]
    start = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()
    return b"\r\n".join([start, *lines, b"", body])


def measure(case: Case, server: Target, client: ProcessPoolExecutor) -> None:
    """One round of a call."""
    cpu, redis = server.server_seconds(), server.redis_seconds()
    timing = client.submit(load.run, load_of(case, server, case.count)).result()
    case.cpu.append((server.server_seconds() - cpu) * 1000 / case.count)
    case.redis.append((server.redis_seconds() - redis) * 1000 / case.count)
    case.throughput.append(case.count / timing.elapsed)
    case.latencies += [latency * 1000 for latency in timing.latencies]


def figures(case: Case) -> dict[str, Any]:
    """The figures of a call: milliseconds, and requests per second."""
    percentiles = quantiles(case.latencies, n=100)
    return {
        "name": case.name,
        "title": case.title,
        "cpu": median(case.cpu),
        "cpuMin": min(case.cpu),
        "cpuMax": max(case.cpu),
        "aim": case.aim,
        "redisCpu": median(case.redis),
        "p50": percentiles[49],
        "p99": percentiles[98],
        "throughput": median(case.throughput),
    }


def table(cases: list[Case]) -> Iterator[str]:
    headings = ("CPU ms", "min – max", "aim", "Redis ms", "p50 ms", "p99 ms", "per s")
    yield "{:<27}{:>8}{:>17}{:>8}{:>10}{:>9}{:>9}{:>8}".format("call", *headings)
    for case in cases:
        yield row(figures(case))


def row(figure: dict[str, Any]) -> str:
    spread = f"{figure['cpuMin']:.2f} – {figure['cpuMax']:.2f}"
    aim = "" if figure["aim"] is None else f"< {figure['aim']:.1f}"
    return (
        f"{figure['title']:<27}{figure['cpu']:>8.2f}{spread:>17}{aim:>8}{figure['redisCpu']:>10.3f}"
        f"{figure['p50']:>9.1f}{figure['p99']:>9.1f}{figure['throughput']:>8.0f}"
    )


if __name__ == "__main__":
    main()
