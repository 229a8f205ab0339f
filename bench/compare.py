"""This server beside others that speak the same API: `python -m bench.compare NAME=URL@PID …`.

Without names it starts this server, that of bench/reference_fastapi.py and, if `npm install` was run there,
that of bench/express. README.md has the columns.
"""

import argparse
import json
import multiprocessing
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench import load
from bench.plot import Group, draw
from bench.requests import NAMES, REQUESTS, Case, figures, load_of, measure, prepare
from bench.server import EXPRESS, Target, running_reference, running_server

ROUNDS = 9
WARM_UP = 500  # requests of each call, until all is compiled that will be
CALLS = tuple(name for name in NAMES if name != "upload")
MEGABYTE = 1024 * 1024


@dataclass
class Contestant:
    """One of the servers compared, and its calls with what was measured of them."""

    name: str
    target: Target
    cases: list[Case]


def main() -> None:
    options = arguments()
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        client = stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn))
        targets = dict(map(target_of, options.servers)) or started(stack)
        contestants = [
            Contestant(
                name,
                target,
                [case for case in prepare(target, options.requests) if case.name in options.only],
            )
            for name, target in targets.items()
        ]
        compete(contestants, client, options.rounds)
        print("\n".join(table(contestants)))
    if options.json:
        options.json.write_text(json.dumps(results(contestants), indent=2) + "\n")
    if options.plot:
        draw(options.plot, "CPU per request, one worker, ms", list(groups(contestants)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("servers", nargs="*", metavar="NAME=URL@PID", help="running servers, on this machine")
    parser.add_argument(
        "--only", nargs="+", choices=CALLS, default=CALLS, metavar="CALL", help=", ".join(CALLS)
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="per call and round (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw them, as a PNG")
    return parser.parse_args()


def target_of(server: str) -> tuple[str, Target]:
    match = re.fullmatch(r"([\w.-]+)=http://127\.0\.0\.1:(\d+)@(\d+)", server)
    if match is None:
        sys.exit(f"{server} is not NAME=http://127.0.0.1:PORT@PID.")
    name, port, pid = match.groups()
    return name, Target(int(port), psutil.Process(int(pid)))


def started(stack: ExitStack) -> dict[str, Target]:
    server = stack.enter_context(running_server())
    others = ["express", "fastapi"] if (EXPRESS / "node_modules").exists() else ["fastapi"]
    references = {name: running_reference(name, server.redis_url) for name in others}
    return {"nanobanana": server} | {name: stack.enter_context(each) for name, each in references.items()}


def compete(contestants: list[Contestant], client: ProcessPoolExecutor, rounds: int) -> None:
    """Each call of each server in turn, round by round: a slow moment of the machine falls on all of them."""
    for contestant in contestants:
        for case in contestant.cases:
            client.submit(load.run, load_of(case, contestant.target, WARM_UP)).result()
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr)
        for cases in zip(*(contestant.cases for contestant in contestants), strict=True):
            for contestant, case in zip(contestants, cases, strict=True):
                measure(case, contestant.target, client)


def memory(contestant: Contestant) -> float:
    """Megabytes of the process that answers."""
    return contestant.target.worker().memory_info().rss / MEGABYTE


def results(contestants: list[Contestant]) -> dict[str, Any]:
    return {contestant.name: list(map(figures, contestant.cases)) for contestant in contestants}


def table(contestants: list[Contestant]) -> Iterator[str]:
    headings = ("CPU ms", "least", "ratio", "p50 ms", "p99 ms", "per s")
    yield "{:<18}{:<14}{:>8}{:>8}{:>8}{:>9}{:>9}{:>8}".format("call", "server", *headings)
    for cases in zip(*(contestant.cases for contestant in contestants), strict=True):
        for contestant, case in zip(contestants, cases, strict=True):
            yield row(contestant.name, case, ratio(case, cases[-1]))
    for contestant in contestants:
        yield f"{'memory':<18}{contestant.name:<14}{memory(contestant):>8.0f} MB"


def ratio(case: Case, other: Case) -> float:
    """CPU time as a multiple of the last server's, round by round: both had the same machine then."""
    return median(one / two for one, two in zip(case.cpu, other.cpu, strict=True))


def row(name: str, case: Case, ratio: float) -> str:
    figure = figures(case)
    return (
        f"{case.title:<18}{name:<14}{figure['cpu']:>8.3f}{figure['cpuMin']:>8.3f}{ratio:>8.2f}"
        f"{figure['p50']:>9.1f}{figure['p99']:>9.1f}{figure['throughput']:>8.0f}"
    )


def groups(contestants: list[Contestant]) -> Iterator[Group]:
    for cases in zip(*(contestant.cases for contestant in contestants), strict=True):
        bars = [
            (contestant.name, median(case.cpu)) for contestant, case in zip(contestants, cases, strict=True)
        ]
        yield Group(cases[0].title, bars)


if __name__ == "__main__":
    main()
