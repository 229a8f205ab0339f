"""`manage.py serve`: HTTP and WebSocket on one port, with an embedded Redis when none is configured."""

import argparse
import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis import Redis, RedisError

from nanobanana import metric_files
from nanobanana.cores import usable_cores
from nanobanana.redisdb.embedded import EmbeddedServer, EmbeddedServerError
from nanobanana.server import ServeError, Supervisor, listen, on_stop_signals

OLDEST_REDIS = (6, 2)
HOSTS_OF_THIS_MACHINE = ("127.0.0.1", "0.0.0.0", "::1", "::")


class Command(BaseCommand):
    help = "Serve HTTP and WebSocket on one port and do jobs, with an embedded Redis when none is configured."
    application = "nanobanana.asgi:application"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST, help="the address to listen on: %(default)s")
        parser.add_argument(
            "--port", type=port_number, default=settings.PORT, help="%(default)s; 0: a free one"
        )
        parser.add_argument(
            "--workers", type=worker_count, default=usable_cores(), help="processes: %(default)s"
        )
        parser.add_argument("--reload", action="store_true", help="one worker, restarted when code changes")

    def handle(self, *, host: str, port: int, workers: int, reload: bool, **options: Any) -> None:
        on_stop_signals(signal.default_int_handler)  # until the supervisor takes over
        try:
            self.serve(host, port, 1 if reload else workers, source_directories() if reload else [])
        except KeyboardInterrupt:
            self.stdout.write("Stopped before it was ready.")
        except (EmbeddedServerError, ServeError) as error:
            raise CommandError(str(error)) from error

    def serve(self, host: str, port: int, workers: int, reload_on: list[Path]) -> None:
        with ExitStack() as running:
            embedded = None
            if settings.REDIS_IS_EMBEDDED:
                embedded = running.enter_context(EmbeddedServer(settings.VAR_DIR / "redis"))
            self.check_redis()
            listener = running.enter_context(listen(host, port))
            port = listener.getsockname()[1]
            os.environ["PORT"] = str(port)  # the workers' settings name it in the URLs of pictures
            os.environ.setdefault("DECODERS", str(max(1, usable_cores() // workers)))  # they share the cores
            metric_files.begin(settings.VAR_DIR / "metrics" / str(port))
            Supervisor(
                self.application,
                listener,
                workers=workers,
                job_workers=settings.JOB_WORKERS,
                shutdown_delay=0 if reload_on else settings.SHUTDOWN_DELAY,
                redis=embedded,
                on_ready=lambda: self.announce(host, port, workers),
                reload_on=reload_on,
            ).run()
        self.stdout.write("Stopped.")

    def check_redis(self) -> None:
        info = read_info(settings.REDIS_URL)
        version = info["redis_version"]
        if tuple(int(number) for number in version.split(".")[:2]) < OLDEST_REDIS:
            raise ServeError(f"Redis {version} is too old: 6.2 or later is needed.")
        if info["maxmemory"] and info["maxmemory_policy"] != "noeviction":
            self.refuse_in_production(
                f"Redis deletes accounts and messages when its memory is full (maxmemory-policy "
                f"{info['maxmemory_policy']}): set maxmemory-policy to noeviction."
            )

    def refuse_in_production(self, problem: str) -> None:
        if settings.IS_PRODUCTION:
            raise ServeError(problem)
        self.stderr.write(self.style.WARNING(f"Production would refuse this: {problem}"))

    def announce(self, host: str, port: int, workers: int) -> None:
        name = "localhost" if host in HOSTS_OF_THIS_MACHINE else host
        address = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        redis = "embedded" if settings.REDIS_IS_EMBEDDED else without_password(settings.REDIS_URL)
        self.stdout.write(
            f"Serving with {workers} worker{'s' if workers > 1 else ''}; Ctrl-C stops.\n"
            f"  HTTP       http://{address}\n"
            f"  WebSocket  ws://{address}/ws/<sessionId>\n"
            f"  Redis      {redis}\n"
            f"  data       {settings.VAR_DIR}\n"
            f"  logs       {settings.LOG_DIR}"
        )
        self.stdout.flush()


def read_info(url: str) -> dict[str, Any]:
    try:
        with Redis.from_url(url, retry=None, socket_timeout=5, socket_connect_timeout=5) as client:
            return client.info()
    except RedisError as error:
        raise ServeError(
            f"Redis at {without_password(url)} does not answer ({str(error).rstrip('.')}): start it, correct "
            "REDIS_HOST, REDIS_PORT, REDIS_PASSWORD or REDIS_URL, or leave them empty for the embedded one."
        ) from error


def without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//", url).partition("?")[0]


def source_directories() -> list[Path]:
    return [package.parent for package in settings.BASE_DIR.glob("*/__init__.py")]


def worker_count(value: str) -> int:
    return number_between(value, 1, 1024)


def port_number(value: str) -> int:
    return number_between(value, 0, 65535)


def number_between(value: str, least: int, most: int) -> int:
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise argparse.ArgumentTypeError(f"{value} must be a whole number from {least} to {most}.")
    return int(value)
