"""`manage.py stress`: devices come and go while much is written, and everything they hear is counted."""

import asyncio
import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from nanobanana.redisdb.embedded import EmbeddedServer, EmbeddedServerError
from nanobanana.stress.accounts import StressError
from nanobanana.stress.run import Plan, Progress, Run
from nanobanana.stress.servers import own_servers

BAR = 30  # characters
NUISANCES = {
    "kills": ("workers killed", "kill a worker with SIGKILL"),
    "freezes": ("workers frozen", "stop a worker with SIGSTOP, or let it go on"),
    "silences": ("subscriptions cut", "cut the connections on which workers hear of each other's writes"),
    "redis_kills": ("Redis killed", "kill Redis with SIGKILL and start it again"),
}


class Command(BaseCommand):
    help = (
        "Write much while devices come and go, and count what they hear. Exit code 1 when anything is wrong."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--url",
            action="append",
            default=[],
            help="a running server; several share one Redis: the first is written to, the others are "
            "listened at. Without it, servers of its own on a Redis of its own",
        )
        own = Plan()
        parser.add_argument("--workers", type=int, default=2, help="processes of its own (%(default)s)")
        parser.add_argument("--accounts", type=int, default=own.accounts, help="(%(default)s)")
        parser.add_argument("--devices", type=int, default=own.devices, help="in all (%(default)s)")
        parser.add_argument("--sessions", type=int, default=own.sessions, help="of an account (%(default)s)")
        parser.add_argument("--writers", type=int, default=own.writers, help="at a time (%(default)s)")
        parser.add_argument("--seconds", type=float, default=own.seconds, help="(%(default)s)")
        parser.add_argument("--writes", type=int, default=0, help="go on until there are so many")
        parser.add_argument(
            "--cuts", type=int, default=own.cuts, help="cut off a device so often (%(default)s)"
        )
        for name, (_, meaning) in NUISANCES.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=int,
                default=0,
                help=f"{meaning}, so often; own servers only",
            )

        parser.add_argument("--json", action="store_true", help="answer with one object instead of a table")

    def handle(self, **options: Any) -> None:
        plan, as_json = plan_of(options), options.get("json", False)
        draw = self.bar(plan, is_shown=not as_json)
        try:
            with servers(options["url"], options["workers"]) as (urls, nuisances):
                refuse_nonsense(plan, urls, nuisances)
                tally = asyncio.run(Run(plan, urls, nuisances, draw).perform())
        except (StressError, EmbeddedServerError) as error:
            raise CommandError(str(error)) from error
        except httpx.ConnectError as error:
            raise CommandError(f"No server answers at {options['url'][0]}.") from error
        self.stdout.write(json.dumps(tally.figures()) if as_json else "\n".join(["", *tally.table()]))
        if not tally.is_clean:
            sys.exit(1)

    def bar(self, plan: Plan, *, is_shown: bool) -> Callable[[Progress], None]:
        """A function that draws the progress; it does nothing where there is no terminal."""

        def draw(progress: Progress) -> None:
            done = min(BAR, int(BAR * progress.elapsed / plan.seconds))
            counts = f"{progress.written:,} written, {progress.heard:,} heard, {progress.cuts:,} cut off"
            self.stdout.write(f"\r[{'#' * done:<{BAR}}] {progress.elapsed:4.0f} s  {counts} ", ending="")
            self.stdout.flush()

        return draw if is_shown and self.stdout.isatty() else lambda progress: None


def plan_of(options: Mapping[str, Any]) -> Plan:
    nuisances = {text: options[name] for name, (text, _) in NUISANCES.items() if options[name]}
    names = ("accounts", "devices", "sessions", "writers", "seconds", "writes", "cuts")
    return Plan(**{name: options[name] for name in names}, nuisances=nuisances)


@contextmanager
def servers(urls: list[str], workers: int) -> Iterator[tuple[list[str], Mapping[str, Callable[[], bool]]]]:
    """Where the servers are, and what can be done to them."""
    if urls:
        yield [url.rstrip("/") for url in urls], {}
        return
    with TemporaryDirectory(prefix="nanobanana-stress-") as directory:
        path = Path(directory)
        with (
            EmbeddedServer(path / "redis") as redis,
            own_servers(settings.BASE_DIR, path, redis, workers) as own,
        ):
            yield own.urls, own.nuisances


def refuse_nonsense(plan: Plan, urls: list[str], nuisances: Mapping[str, object]) -> None:
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"--url {url} must start with http:// or https://.")
    if plan.nuisances.keys() - nuisances.keys():
        raise CommandError("Only servers of its own are killed, stopped and cut off: leave out --url.")
    counts = (plan.accounts, plan.devices, plan.sessions, plan.writers, plan.seconds)
    if min(counts) <= 0 or plan.cuts < 0 or plan.sessions > 100 or plan.devices < plan.accounts:
        raise CommandError(
            "There is at least one of each, at most 100 sessions, and a device for each account."
        )
