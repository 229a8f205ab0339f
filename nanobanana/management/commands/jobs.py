"""`manage.py jobs`: what waits, runs and failed behind the requests; try it again, or drop it."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from nanobanana import job_queue
from nanobanana.job_queue import STATES, Entry
from nanobanana.management.async_command import AsyncCommand, count, whole_number

MOST = 100_000
ACTIONS: dict[str, tuple[Callable[[str], Awaitable[bool]], str]] = {
    "retry": (job_queue.retry, "will be tried again"),
    "drop": (job_queue.drop, "dropped"),
}


class Command(AsyncCommand):
    help = "List the jobs that wait, run or failed; try failed ones again, or drop jobs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", default="list", choices=["list", *ACTIONS])
        parser.add_argument("ids", nargs="*", metavar="ID", help="of jobs, as they are listed")
        parser.add_argument("--all", action="store_true", help="retry or drop all that failed")
        parser.add_argument("--state", choices=list(STATES), help="list these alone")
        parser.add_argument("--limit", type=int, default=50, help="of each state; default: %(default)s")

    async def run(
        self, *, action: str, ids: list[str], all: bool, state: str | None, limit: int, **options: Any
    ) -> None:
        whole_number("--limit", limit, least=1, most=MOST)
        if action == "list":
            return await self.list(ids or all, [state] if state else list(STATES), limit)
        if bool(ids) == all:
            raise CommandError(f"Say which jobs to {action}: their ids, or --all for those that failed.")
        act, done = ACTIONS[action]
        if all:
            ids = [entry.id for entry in await job_queue.entries("failed", limit=MOST)]
        found = [identifier for identifier in ids if await act(identifier)]
        missing = [identifier for identifier in ids if identifier not in found]
        if missing and not all:
            raise CommandError("\n".join(f"Nothing to {action}: {identifier}" for identifier in missing))
        self.answer({"jobs": found}, f"{count(len(found), 'job')} {done}.")

    async def list(self, has_too_much: object, states: list[str], limit: int) -> None:
        if has_too_much:
            raise CommandError("All jobs are listed; --state says which.")
        figures = await job_queue.figures()
        workers = await job_queue.workers_alive()
        found = [entry for state in states for entry in await job_queue.entries(state, limit=limit)]
        content = {"workers": workers, **figures, "jobs": [_shown(entry) for entry in found]}
        numbers = ", ".join(f"{number:,} {state}" for state, number in figures.items())
        self.answer(content, *map(_line, found), f"{count(workers, 'worker')}; {numbers}.")


def _shown(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "since": _moment(entry.since), "due": entry.due and _moment(entry.due)}


def _line(entry: Entry) -> str:
    tries = f"  failed {count(entry.tries, 'time')}: {entry.reason}" if entry.reason else ""
    due = f", again at {_moment(entry.due):%H:%M:%S}" if entry.due else ""
    return f"{entry.state:8} {_moment(entry.since):%Y-%m-%d %H:%M:%S}  {entry.id}{tries}{due}"


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
