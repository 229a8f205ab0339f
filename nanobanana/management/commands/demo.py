"""`manage.py demo`: play a story against a running server and show what each device saw."""

import asyncio
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from websockets.exceptions import WebSocketException

from nanobanana.demo.report import Report
from nanobanana.demo.stage import Stage
from nanobanana.demo.story import PHOTOS, play
from nanobanana.demo.terminal import Lines
from nanobanana.demo.timeline import PromiseBroken, Timeline

PHOTOS_DIR = settings.BASE_DIR / "tests" / "data" / "photos"


class Command(BaseCommand):
    help = "Play a story of two people and three devices against a running server, and check what each sees."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=f"http://localhost:{settings.PORT}", help="default: %(default)s")
        parser.add_argument(
            "--html", type=Path, metavar="FILE", help="also write a page to open in a browser"
        )
        parser.add_argument("--keep", action="store_true", help="keep the two accounts it made")

    def handle(self, *, url: str, html: Path | None, keep: bool, no_color: bool, **options: Any) -> None:
        refuse_nonsense(url, html)
        timeline = Timeline()
        lines = Lines(timeline, in_colour=self.stdout.isatty() and not no_color)
        try:
            asyncio.run(self._perform(Stage(url, PHOTOS_DIR, timeline), lines, keep))
        finally:
            if html and timeline.moments:
                html.write_text(Report(timeline, url).html(), encoding="utf-8")
                self.stdout.write(f"\nOpen {html.absolute()} in a browser to see it side by side.")

    async def _perform(self, stage: Stage, lines: Lines, keep: bool) -> None:
        try:
            await play(stage, lambda chapter: self._print(lines.chapter(chapter)), keep=keep)
        except PromiseBroken as broken:
            raise CommandError(f"A promise was broken: {broken}.\n{accounts(stage)}") from broken
        except (httpx.ConnectError, ConnectionRefusedError) as error:
            raise CommandError(unanswered(error, stage.url)) from error
        except (httpx.HTTPError, WebSocketException, OSError) as error:
            raise CommandError(f"The server stopped answering: {error!r}.") from error
        finally:
            await stage.close()
        self._print(lines.summary())
        self.stdout.write(accounts(stage) if keep else "Both accounts are deleted.")

    def _print(self, lines: Iterable[str]) -> None:
        self.stdout.write("\n".join(lines))


def refuse_nonsense(url: str, html: Path | None) -> None:
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"--url {url} must start with http:// or https://.")
    if html and not html.absolute().parent.is_dir():
        raise CommandError(f"--html {html}: there is no directory {html.absolute().parent}.")
    for name in PHOTOS:
        if not (PHOTOS_DIR / name).is_file():
            raise CommandError(f"The photograph {PHOTOS_DIR / name} is missing: the story needs it.")


def unanswered(error: httpx.ConnectError | ConnectionRefusedError, url: str) -> str:
    """Which address it was: that of a picture is made of the server's PUBLIC_BASE_URL."""
    asked = error.request.url.copy_with(raw_path=b"/") if isinstance(error, httpx.ConnectError) else url
    advice = "start the server with `make run` first, and see its PUBLIC_BASE_URL"
    return f"No server answers at {asked} ({error}): {advice}."


def accounts(stage: Stage) -> str:
    people = [f"{person.email} with password {person.password}" for person in (stage.alice, stage.bob)]
    return f"The accounts of this run, to look around: {' and '.join(people)}."
