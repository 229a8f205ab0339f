"""`manage.py import_express`: bring in what the seed's own server, in Node.js and Express, has."""

from argparse import ArgumentTypeError
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandError, CommandParser
from redis.exceptions import RedisError

from chats.express.importing import Report, import_express
from chats.express.source import ExpressSource
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.progress import progress

MOST_SHOWN = 100  # sentences
SCHEMES = ("redis://", "rediss://", "unix://")


class Command(AsyncCommand):
    help = (
        "Bring in the accounts, sessions, messages and pictures of the seed's own server. It is only read. "
        "Run again, it brings what is new: who and what is here already stays as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="source", required=True, metavar="URL", help="redis://host:6379/0")
        parser.add_argument(
            "--media",
            type=directory,
            metavar="DIR",
            help="where its pictures are: its files, or a copy of its bucket",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would come")

    async def run(self, *, source: str, media: Path | None, dry_run: bool, **options: Any) -> None:
        express = await opened(source)
        try:
            with progress("Importing", len(await express.user_ids())) as advance:
                report = await import_express(express, media=media, is_rehearsal=dry_run, advance=advance)
        finally:
            await express.close()
        self.answer({**asdict(report), "dryRun": dry_run}, *sentences(report, dry_run))


def directory(value: str) -> Path:
    path = Path(value)
    if not path.is_dir():
        raise ArgumentTypeError(f"{value} is no directory.")
    return path


async def opened(url: str) -> ExpressSource:
    """The source, which answers. Raises CommandError."""
    if not url.startswith(SCHEMES):
        raise CommandError("--from must start with redis://, rediss:// or unix://.")
    try:
        source = ExpressSource(url)
        await source.open()
    except (RedisError, OSError) as error:
        place = urlsplit(url)
        where = place.hostname or place.path
        raise CommandError(f"The Redis at {where} does not answer ({error}): check --from.") from error
    except Exception as error:  # an option can make anything of it; what is said then may hold the password
        raise CommandError("--from is no address of a Redis, such as redis://host:6379/0.") from error
    return source


def sentences(report: Report, dry_run: bool) -> list[str]:
    came = ", ".join(
        [
            count(report.users, "account"),
            count(report.sessions, "session"),
            count(report.messages, "message"),
            count(report.images, "picture"),
        ]
    )
    here = f"{count(report.users_here, 'account')} and {count(report.sessions_here, 'session')}"
    more = len(report.bad) - MOST_SHOWN
    return [
        *report.bad[:MOST_SHOWN],
        *([f"… and {more} more; --json has them all."] if more > 0 else []),
        f"{'Would bring in' if dry_run else 'Brought in'} {came}; {here} were here already.",
        *(
            [f"{count(report.images_without_file, 'picture')} had no file."]
            if report.images_without_file
            else []
        ),
        *([f"{count(len(report.bad), 'record')} came not, or not as it was."] if report.bad else []),
    ]
