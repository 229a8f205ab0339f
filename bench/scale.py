"""What calls cost beside the data of 1, 10,000 and 100,000 other users: `python -m bench.scale`."""

import argparse
import asyncio
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from statistics import median

import httpx

from bench import load
from bench.memory import created, kind_of
from bench.requests import WARM_UP, Case, load_of, measure, prepare
from bench.server import Server, running_server
from nanobanana.redisdb import client, connection
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import global_key, owner_key

POPULATIONS = (1, 10_000, 100_000)
CALLS = ("me", "sessions", "session", "messages", "post")
ROUNDS = 7
AT_ONCE = 200  # users of one pipeline
AIM = 1.1  # times what it costs beside the fewest
TEXTS = ("Put the cat on the moon, please.", "Here it is.", "Give it a crown.")


def main() -> None:
    options = arguments()
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        servers = {number: stack.enter_context(running_server()) for number in options.users}
        cases = {number: populated(server, number, options) for number, server in servers.items()}
        for turn in range(ROUNDS + 1):
            print(f"round {turn} of {ROUNDS}" if turn else "warming up", file=sys.stderr)
            for call in range(len(options.only)):
                for number, server in servers.items():
                    one_round(cases[number][call], server, pool, is_warm_up=not turn)
    print("\n".join(table(list(cases.values()), options.users)))
    worst = max(ratio(some, others) for some, others in pairs(list(cases.values())))
    if worst > AIM:
        sys.exit(f"A call costs {worst:.2f} times what it costs beside fewer users.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=POPULATIONS, help="%(default)s")
    parser.add_argument("--only", nargs="+", choices=CALLS, default=CALLS, help=", ".join(CALLS))
    parser.add_argument("--requests", type=int, default=1000, help="per call and round (%(default)s)")
    return parser.parse_args()


def one_round(case: Case, server: Server, pool: ProcessPoolExecutor, *, is_warm_up: bool) -> None:
    if is_warm_up:
        pool.submit(load.run, load_of(case, server, WARM_UP)).result()
    else:
        measure(case, server, pool)


# ---- the others
def populated(server: Server, number: int, options: argparse.Namespace) -> list[Case]:
    """The calls of one user, beside so many others."""
    print(f"making {number} other users", file=sys.stderr)
    asyncio.run(populate(server, number))
    found = {case.name: case for case in prepare(server, options.requests)}
    return [found[name] for name in options.only]


async def populate(server: Server, number: int) -> None:
    """One user with a session of three messages, made by calls; then as many copies, key by key."""
    client.configure(server.redis_url)
    original = await make_user(server)
    redis = get_client()
    await redis.config_set("appendfsync", "no")  # nobody waits for these
    await redis.config_set("auto-aof-rewrite-percentage", 0)  # nor is it measured how that is made shorter
    copied = await dumps_of(original)
    for start in range(1, number, AT_ONCE):
        pipeline = redis.pipeline(transaction=False)
        for turn in range(start, min(start + AT_ONCE, number)):
            user_id = new_id()
            pipeline.set(global_key("email", f"other.{turn}@example.com"), user_id)
            for key, content in copied.items():
                pipeline.restore(key.replace(original, user_id), 0, content)
        await pipeline.execute()
    await redis.config_set("appendfsync", "always")
    await connection.close()


async def make_user(server: Server) -> str:
    account = {"email": "original@example.com", "username": "Original", "password": "correct horse battery"}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        registered = await created(http, "/api/auth/register", json=account)
        http.headers["Authorization"] = f"Bearer {registered['token']}"
        session = (await created(http, "/api/sessions", json={}))["session"]
        for text in TEXTS:
            body = {"role": "user", "text": text}
            await created(http, f"/api/sessions/{session['id']}/messages", json=body)
    return registered["user"]["id"]


async def dumps_of(user_id: str) -> dict[str, bytes]:
    """All that stays of a user, key by key."""
    redis = get_client()
    keys = [key async for key in redis.scan_iter(owner_key(user_id, "*")) if kind_of(key) != "for an hour"]
    return {key: await redis.dump(key) for key in keys}


# ---- figures
def cost(case: Case) -> float:
    """Milliseconds of CPU, of the worker and of Redis."""
    return median(cpu + redis for cpu, redis in zip(case.cpu, case.redis, strict=True))


def ratio(some: Case, others: Case) -> float:
    return cost(others) / cost(some)


def pairs(columns: list[list[Case]]) -> Iterator[tuple[Case, Case]]:
    """Each call beside the fewest users, and beside more."""
    for column in columns[1:]:
        yield from zip(columns[0], column, strict=True)


def table(columns: list[list[Case]], users: list[int]) -> Iterator[str]:
    heads = "".join(f"{number:>12,}{'Redis':>8}{'':>7}" for number in users)
    yield f"{'ms of CPU beside other users':<29}{heads}"
    for row in zip(*columns, strict=True):
        figures = [
            f"{cost(case):>12.3f}{median(case.redis):>8.3f} ×{ratio(row[0], case):.2f} " for case in row
        ]
        yield f"{row[0].title:<29}{''.join(figures)}"


if __name__ == "__main__":
    main()
