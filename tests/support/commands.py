"""Commands as an operator runs them, each in an event loop of its own."""

import asyncio
import io
import sys
from typing import Any
from unittest import mock

import orjson
from django.core.management import call_command


async def run(*arguments: Any, typed: str = "", on_terminal: bool = False) -> str:
    """What a command prints; `typed` is what stands in its input."""
    return await asyncio.to_thread(_run, arguments, _Input(typed, on_terminal))


async def run_for_json(*arguments: Any, typed: str = "") -> Any:
    return orjson.loads(await run(*arguments, "--json", typed=typed))


class _Input(io.StringIO):
    def __init__(self, typed: str, on_terminal: bool) -> None:
        super().__init__(typed)
        self.isatty = lambda: on_terminal  # type: ignore[method-assign]


def _run(arguments: tuple[Any, ...], typed: _Input) -> str:
    output = io.StringIO()
    with mock.patch.object(sys, "stdin", typed):
        call_command(*map(str, arguments), stdout=output)
    return output.getvalue()
