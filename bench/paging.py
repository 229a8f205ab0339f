"""What the last page of 100,000 messages costs against the first: `python -m bench.paging`."""

import argparse
import asyncio
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import httpx

from bench import load
from bench.requests import ROUNDS, WARM_UP, Case, created, load_of, make_session, measure
from bench.server import Server, running_server
from chats.models import Message, Session
from nanobanana.redisdb import client as redis_client
from nanobanana.redisdb import connection
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.unit_of_work import unit_of_work

AT_ONCE = 250  # messages of one commit
BEHIND = 5  # how far back an edit names its message
AIM = 2.0  # times the first page


def main() -> None:
    options = arguments()
    spawn = multiprocessing.get_context("spawn")
    with running_server() as server, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        cases = prepare(server, options.messages, options.edits, options.requests)
        for case in cases:
            pool.submit(load.run, load_of(case, server, min(case.count, WARM_UP))).result()
        for number in range(1, ROUNDS + 1):
            print(f"round {number} of {ROUNDS}", file=sys.stderr)
            for case in cases:
                measure(case, server, pool)
    print("\n".join(table(cases)))
    if any(ratio(case, cases) > AIM for case in cases):
        sys.exit(f"A page costs more than {AIM:g} times the first.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.paging", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="in the session (%(default)s)")
    parser.add_argument("--edits", type=int, default=500, help="among them (%(default)s)")
    parser.add_argument("--requests", type=int, default=200, help="per call and round (%(default)s)")
    return parser.parse_args()


def prepare(server: Server, messages: int, edits: int, requests: int) -> list[Case]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        account = {"email": "bench@example.com", "username": "bench", "password": "correct horse"}
        registered = created(client.post("/api/auth/register", json=account))
        client.headers["Authorization"] = f"Bearer {registered['token']}"
        session_id = make_session(client, "Long")
        asyncio.run(fill(server, registered["user"]["id"], session_id, messages, edits))
        return list(cases(client, f"/api/sessions/{session_id}/messages", requests))


async def fill(server: Server, user_id: str, session_id: str, messages: int, edits: int) -> None:
    """Straight into Redis, as the services would; edits lie evenly among the messages."""
    redis_client.configure(server.redis_url)
    ids = [new_id() for _ in range(messages)]
    every = messages // edits
    for first in range(0, messages, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, messages))
        async with unit_of_work(user_id) as work:
            for number in numbers:
                is_edit = number % every == every - 1
                Message.objects.create(
                    work,
                    Message(
                        user_id,
                        ids[number],
                        session_id=session_id,
                        role="user",
                        text=f"Message {number}: more light, please.",
                        edited_of=ids[number - BEHIND] if is_edit else None,
                        created_at=time_of(ids[number]),
                    ),
                )
            Session.objects.add(work, Session(user_id, session_id), message_count=len(numbers))
    await connection.close()
    await redis_client.close_client()


def cases(client: httpx.Client, path: str, requests: int) -> Iterator[Case]:
    for branch in ("all", "active"):
        query = {"limit": "50", "branch": branch}
        total = client.get(path, params=query).json()["pagination"]["total"]
        places = {
            "first page": {},
            "last, by offset": {"offset": str(total - 50)},
            "last, by cursor": {"cursor": cursor_at(client, path, {**query, "offset": str(total - 100)})},
            "newest first": {"order": "desc"},
            "middle, by offset": {"offset": str(total // 2)},
        }
        for name, place in places.items():
            request = client.build_request("GET", path, params={**query, **place})
            yield Case(f"{branch} {name}", f"{branch}: {name}", request, requests)


def cursor_at(client: httpx.Client, path: str, query: dict[str, str]) -> str:
    return client.get(path, params=query).json()["pagination"]["nextCursor"]


def cost(case: Case) -> float:
    """Milliseconds of CPU of a request, in the worker and in Redis."""
    return median(map(sum, zip(case.cpu, case.redis, strict=True)))


def ratio(case: Case, cases: list[Case]) -> float:
    """How many times what the first page of the same branch costs."""
    first = next(other for other in cases if other.name.split()[0] == case.name.split()[0])
    return cost(case) / cost(first)


def table(cases: list[Case]) -> Iterator[str]:
    yield "{:<28}{:>8}{:>10}{:>9}".format("50 messages", "CPU ms", "Redis ms", "ratio")
    for case in cases:
        figures = (cost(case), median(case.redis), ratio(case, cases))
        yield "{:<28}{:>8.2f}{:>10.3f}{:>9.2f}".format(case.title, *figures)


if __name__ == "__main__":
    main()
