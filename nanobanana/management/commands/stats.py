"""`manage.py stats`: how much there is of everything."""

from typing import Any

from nanobanana.census import take_census
from nanobanana.management.async_command import AsyncCommand
from nanobanana.progress import progress
from nanobanana.redisdb.walking import database_size

MEBIBYTE = 1024 * 1024


class Command(AsyncCommand):
    help = "Count users, devices, sessions, messages, pictures, sockets and jobs, by one walk over all keys."

    async def run(self, **options: Any) -> None:
        with progress("Counting", await database_size()) as advance:
            census = await take_census(advance)
        self.answer(census, *(f"{name:16}{value}" for name, value in lines_of(census)))


def lines_of(census: dict[str, Any]) -> list[tuple[str, str]]:
    memory, jobs = census["memory"], census["jobs"]
    limit = f" of {memory['limit'] / MEBIBYTE:,.0f}" if memory["limit"] else ""
    return [
        ("users", f"{census['users']:,}, of whom {census['activeUsers']:,} may sign in"),
        ("devices", f"{census['devices']:,}, with {census['sockets']:,} open sockets"),
        (
            "sessions",
            f"{census['sessions']:,}, and {census['trashedSessions']:,} in the trash, "
            f"{census['hiddenSessions']:,} hidden",
        ),
        ("messages", f"{census['messages']:,}"),
        ("pictures", f"{census['images']:,} of {census['blobs']:,} contents"),
        ("their bytes", f"{census['bytes'] / MEBIBYTE:,.1f} MiB, other sizes aside"),
        ("keys", f"{census['keys']:,}"),
        ("memory", f"{memory['used'] / MEBIBYTE:,.1f}{limit} MiB"),
        ("jobs", ", ".join(f"{number:,} {state}" for state, number in jobs.items())),
    ]
