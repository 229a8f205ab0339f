"""Log lines, by structlog: for people on a developer's console, JSON everywhere else, and secrets nowhere.

Code that logs now and then takes a logger of the standard library. What is written for every request takes
`request_log`, which skips what other lines alone have need of. Both end in the same sinks.
"""

import logging.config
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import orjson
import structlog

from nanobanana.log_files import LogFile
from nanobanana.log_traces import trace_of
from nanobanana.request_ids import NOTHING, at_hand

Event = MutableMapping[str, Any]

OURS = ("nanobanana", "accounts", "chats", "media_store", "realtime")
SIGNING = ("botocore", "urllib3", "oss2")  # their chatter holds signatures, whatever level the others have
# The query of an address, a JSON Web Token, a Bearer's token, an e-mail address, a password in a URL.
SECRETS = re.compile(
    r"(?<=\?)\S+|\beyJ[\w.-]+|(?<=\bBearer )\S+|(?<=://)[^\s/]*@"
    # Each run of signs is looked at once: otherwise a long line would take as long as its length squared.
    r"|(?<![^\s<>\"'(:,@])[^\s<>\"'(:,@]++@[^\s<>\"'),@]+\.[^\s<>\"'),@]+"
)
LONGEST = 20_000  # characters of a value
HIDDEN = "…"
TELL_EVERY = 60  # seconds, of lines that were lost
SECRET_NAMES = re.compile(r"(?i)(?:.*_)?(?:password|token|secret|ticket|authorization|cookie|text|email)")
OF_RECORDS = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "event"}
JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class Sink(NamedTuple):
    """Takes the lines of its level and above."""

    level: int
    write: Callable[[Event], None]


class Sinks:
    """Where events go; structlog calls the method of their level."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self._lost, self._tell_at = 0, 0.0

    @property
    def level(self) -> int:
        """Below it, nobody takes a line."""
        return min((sink.level for sink in self.sinks), default=logging.CRITICAL)

    def put(self, level: int, event: Event) -> None:
        for sink in self.sinks:
            if level >= sink.level:
                self._write(sink, event)

    def _write(self, sink: Sink, event: Event) -> None:
        """A log that cannot be written anywhere fails no request; its reader learns of it afterwards."""
        try:
            sink.write(event)
        except OSError:  # the disk is full, and that of standard error too
            self._lost += 1
            return
        if self._lost and monotonic() >= self._tell_at:
            lost, self._lost, self._tell_at = self._lost, 0, monotonic() + TELL_EVERY
            told: Event = {"logger": __name__, "event": f"{lost} lines of the log could not be written."}
            self.warning(add_moment_and_level(None, "warning", told))

    def debug(self, event: Event) -> None:
        self.put(logging.DEBUG, event)

    def info(self, event: Event) -> None:
        self.put(logging.INFO, event)

    def warning(self, event: Event) -> None:
        self.put(logging.WARNING, event)

    def error(self, event: Event) -> None:
        self.put(logging.ERROR, event)

    critical = error


SINKS = Sinks()


# ---- what structlog does to an event, one after the other
def add_moment_and_level(logger: Any, method: str, event: Event) -> Event:
    return {"timestamp": datetime.now(UTC), "level": method.upper(), **event}


def add_what_is_at_hand(logger: Any, method: str, event: Event) -> Event:
    current = at_hand()
    if current is not NOTHING:
        event["request_id"] = current.request_id
        if current.user_id is not None:
            event["user_id"] = current.user_id
    return event


def add_trace(logger: Any, method: str, event: Event) -> Event:
    error = event.pop("exc_info", None)
    if isinstance(error, tuple):
        error = error[1]
    elif error is True:
        error = sys.exception()
    if error:
        event["exception"] = trace_of(error)
    return event


def hide_secrets(logger: Any, method: str, event: Event) -> Event:
    for name, value in event.items():
        if SECRET_NAMES.fullmatch(name):
            event[name] = HIDDEN
        elif not isinstance(value, int | float | datetime | None):
            readable = str(value)[:LONGEST].encode("utf-8", "backslashreplace").decode()
            event[name] = SECRETS.sub(HIDDEN, readable)
    return event


def hand_over(logger: Any, method: str, event: Event) -> tuple[tuple[Event], dict[str, Any]]:
    return (event,), {}


ALWAYS = (add_moment_and_level, add_what_is_at_hand)
OF_OTHERS = (*ALWAYS, add_trace, hide_secrets, hand_over)
OF_REQUESTS = (*ALWAYS, hand_over)  # none of its values comes from a client


# ---- the standard library's loggers
class Handler(logging.Handler):
    """Turns records into events."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            extra = {name: value for name, value in vars(record).items() if name not in OF_RECORDS}
            level = logging.getLevelName(max(logging.DEBUG, record.levelno // 10 * 10)).lower()
            details = {"logger": record.name, "exc_info": record.exc_info, **extra}
            getattr(_others, level)(record.getMessage(), **details)
        except Exception:
            self.handleError(record)


_others = structlog.wrap_logger(
    SINKS, processors=OF_OTHERS, wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG)
)


@cache
def request_log() -> Any:
    """The logger of requests; below its level, which is known once Django is set up, it does nothing."""
    wrapper = structlog.make_filtering_bound_logger(SINKS.level)
    logger = structlog.wrap_logger(SINKS, processors=OF_REQUESTS, wrapper_class=wrapper)
    return logger.bind(logger="nanobanana.requests")


# ---- how lines look
def as_json(write: Callable[[bytes], object]) -> Callable[[Event], None]:
    def render(event: Event) -> None:
        write(orjson.dumps(event, option=JSON_OPTIONS))

    return render


def to_console_as_json(line: bytes) -> None:
    sys.stderr.write(line.decode())


def to_console_for_people(event: Event) -> None:
    """Nobody can write a line of their own, or colours, by what they send."""
    moment = event["timestamp"].astimezone().strftime("%H:%M:%S.%f")[:-3]
    plain = {name: one_line(value) for name, value in event.items() if name != "exception"}
    shown = {"timestamp": moment, "level": event["level"].lower()}
    if "exception" in event:
        shown["exception"] = event["exception"]
    renderer = _console_renderer(colors=sys.stderr.isatty())
    sys.stderr.write(f"{renderer(None, '', {**plain, **shown})}\n")


@cache
def _console_renderer(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=20)


def one_line(value: object) -> object:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in value)


# ---- settings
def configure(options: Mapping[str, Any]) -> None:
    """Called by Django with LOGGING: levels, `for_people`, and where and how large files are."""
    level, console_level = (
        logging.getLevelNamesMapping()[options[name]] for name in ("level", "console_level")
    )
    combined, errors = (
        LogFile(Path(options["directory"]) / name, size=options["file_size"], count=options["files"])
        for name in ("combined.log", "error.log")
    )
    console = to_console_for_people if options["for_people"] else as_json(to_console_as_json)
    SINKS.sinks = [
        Sink(level, as_json(combined.write)),
        Sink(max(level, logging.ERROR), as_json(errors.write)),
        Sink(max(level, console_level), console),
    ]
    logging.config.dictConfig(standard_library(level))


def standard_library(level: int) -> dict[str, Any]:
    """What others log below warnings is theirs: headers, frames, what is signed, what is in pictures."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"events": {"class": "nanobanana.logs.Handler"}},
        "loggers": {
            **{name: {"level": level} for name in OURS},
            **{name: {"level": "WARNING"} for name in SIGNING},
            "django": {"level": "NOTSET"},  # without the handlers that Django gives it
        },
        "root": {"handlers": ["events"], "level": max(level, logging.WARNING)},
    }
