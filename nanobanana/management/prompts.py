"""What commands ask of the person at the terminal."""

import signal
import sys
from collections.abc import Callable
from getpass import getpass

from django.core.management.base import CommandError

from nanobanana.management.interrupts import ended_by

LONGEST_LINE = 4096


def is_somebody_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def read_line(prompt: str = "") -> str:
    """A line of the input, without its end; with a prompt on a terminal. Raises CommandError."""
    if sys.stdin is None:
        raise CommandError("There is no input to read from.")
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return _asked(lambda: sys.stdin.readline(LONGEST_LINE).rstrip("\r\n"))


def read_secret(prompt: str) -> str:
    """A line that the terminal does not show. Raises CommandError."""
    return _asked(lambda: getpass(prompt))


def _asked(ask: Callable[[], str]) -> str:
    """Ctrl-C ends it at once: an event loop would first cancel its task, which is the one that waits here."""
    try:
        with ended_by(signal.SIGINT):
            return ask()
    except EOFError as error:
        raise CommandError("Nothing was typed.") from error
    except UnicodeDecodeError as error:
        raise CommandError("What was typed is no UTF-8.") from error
