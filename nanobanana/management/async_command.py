"""The base of commands that use the services, which are coroutines; the server may run meanwhile."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from nanobanana.errors import APIError
from nanobanana.management.interrupts import ended_by
from nanobanana.redisdb import connection
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.serializers import timestamp

BROKEN_PIPE = 141  # that of what nobody reads any more


class AsyncCommand(BaseCommand):
    """A command answers once, in the end: with sentences, or with `--json` with one object.

    What goes wrong is a CommandError: a sentence on the error output, and exit code 1. Progress is drawn
    there too, on a terminal only.
    """

    requires_system_checks: list[str] = []  # they are about serving

    run: Callable[..., Awaitable[None]]  # what the command does, with its options
    as_json = False

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **options)
        parser.add_argument("--json", action="store_true", help="answer with one object instead of sentences")
        return parser

    def answer(self, content: Mapping[str, Any], *sentences: str) -> None:
        text = to_json(content) if self.as_json else "\n".join(sentences)
        try:
            self.stdout.write(text.encode(errors="backslashreplace").decode())
            self.stdout.flush()
        except BrokenPipeError:  # nobody reads on, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)
        except OSError as error:
            raise CommandError(f"It is done, but the answer cannot be written: {error.strerror}.") from error

    def handle(self, **options: Any) -> None:
        self.as_json = options.pop("json")
        try:
            with ended_by(signal.SIGTERM):
                asyncio.run(self._run(options))
        except APIError as error:
            raise CommandError("\n".join([error.message, *_details_of(error)])) from error
        except CommitRefused as error:
            raise CommandError("It was changed meanwhile; nothing is done. Try again.") from error
        except (NoConnection, NoAnswer, TimeoutError, ConnectionError) as error:
            advice = "start the server with `make run`" if settings.REDIS_IS_EMBEDDED else "check REDIS_URL"
            raise CommandError(f"Redis does not answer ({error}): {advice}.") from error
        except RedisError as error:
            advice = "`manage.py check_data` finds what is damaged"
            raise CommandError(f"Redis refuses a command ({error}): {advice}.") from error

    async def _run(self, options: dict[str, Any]) -> None:
        try:
            await self.run(**options)
        finally:
            await connection.close()


def to_json(content: Mapping[str, Any]) -> str:
    """One object on one line; times as the API gives them."""
    try:
        return orjson.dumps(content, default=timestamp, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
    except TypeError:  # a text that is no UTF-8, such as the name of a strange key
        return json.dumps(content, default=timestamp)


def count(number: int, noun: str) -> str:
    """`1 message`, `2 messages`"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def whole_number(name: str, value: int, *, least: int, most: int) -> int:
    """`value`, if it is between the two. Raises CommandError."""
    if not least <= value <= most:
        raise CommandError(f"{name} {value} must be a whole number from {least} to {most}.")
    return value


def _details_of(error: APIError) -> list[str]:
    places = (error.details or {}).items()
    return list(
        chain.from_iterable([f"{place}: {each}" for each in sentences] for place, sentences in places)
    )
