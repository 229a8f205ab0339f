"""The processes behind `manage.py serve`: workers on one socket, others for jobs, and the embedded Redis."""

import errno
import logging
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from watchfiles import PythonFilter, watch

from nanobanana.redisdb.embedded import EmbeddedServer

logger = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
TICK = 0.1  # seconds
LINGER = 1.5  # seconds; the workers of a killed supervisor notice within one and leave the port
STOP_TIMEOUT = 15.0  # seconds after the delay; a worker gives its running requests 10
LONGEST_DELAY = 30.0  # seconds
LONGEST_DELAY_OF_REDIS = 4.0  # so long all wait when its disk has room again
CALM = 4.0  # seconds; a process that lived longer, and longer than it had to wait, does not die in a series


class ServeError(Exception):
    """Serving is not possible; the message is one sentence for the operator."""


def on_stop_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    """Ctrl-C, `kill` and a closed terminal all mean the same; `nohup` has the last one ignored."""
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + LINGER
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ServeError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from error
            if time.monotonic() > deadline:
                raise ServeError(
                    f"Port {port} on {host} is in use by another program: stop it, or choose another port."
                ) from error
        time.sleep(TICK)


class Backoff:
    """Lets a process that died start again at once, then after 1, 2, 4 … 30 s while it keeps dying."""

    def __init__(self, longest: float = LONGEST_DELAY) -> None:
        self._longest = longest
        self._delay = 0.0
        self._last_start = -math.inf

    def allows_start(self, now: float) -> bool:
        """Whether the time has come, in seconds of a monotonic clock; the caller then starts it."""
        since_last_start = now - self._last_start
        if since_last_start < self._delay:
            return False
        was_calm = since_last_start > max(CALM, self._delay + 1)
        self._delay = 1.0 if was_calm else min(2 * self._delay, self._longest)
        self._last_start = now
        return True


class Child:
    """One process, which can be started again when it has ended."""

    def __init__(self) -> None:
        self.backoff = Backoff()
        self.start()

    def start(self) -> None:
        raise NotImplementedError

    def _run(self, module: str, *arguments: str, inherited: Sequence[int] = ()) -> None:
        python_path = filter(None, (str(PROJECT), os.environ.get("PYTHONPATH")))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(python_path)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the supervisor, which lets running requests end
            pass_fds=inherited,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def wait(self, timeout: float) -> None:
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            logger.error("Worker %d does not stop and is killed.", self.pid)
            self._process.kill()
            self._process.wait()


class JobWorker(Child):
    """One process that does jobs."""

    def start(self) -> None:
        self._run("nanobanana.job_worker", str(os.getpid()))


class Worker(Child):
    """One process that serves."""

    def __init__(self, application: str, listener: socket.socket, shutdown_delay: int) -> None:
        self._application = application
        self._listener = listener
        self._shutdown_delay = shutdown_delay
        super().__init__()

    def start(self) -> None:
        reader, writer = os.pipe()
        self._ready = os.fdopen(reader, "rb")
        inherited = (self._listener.fileno(), writer)
        numbers = map(str, (*inherited, os.getpid(), self._shutdown_delay))
        self._run("nanobanana.worker", self._application, *numbers, inherited=inherited)
        os.close(writer)

    @property
    def answers(self) -> bool:
        """Its end of the pipe closes when it answers requests, or when it ends."""
        return self.exit_code is None and bool(select.select([self._ready], [], [], 0)[0])

    def wait(self, timeout: float) -> None:
        super().wait(timeout)
        self._ready.close()


class Supervisor:
    """Keeps the workers, and the embedded Redis if there is one, running until a signal asks to stop."""

    def __init__(
        self,
        application: str,
        listener: socket.socket,
        *,
        workers: int,
        job_workers: int,
        shutdown_delay: int,
        redis: EmbeddedServer | None,
        on_ready: Callable[[], None],
        reload_on: Sequence[Path] = (),
    ) -> None:
        self._application = application
        self._listener = listener
        self._workers_wanted = workers
        self._shutdown_delay = shutdown_delay
        self._workers: list[Worker] = []
        self._job_workers_wanted = job_workers
        self._job_workers: list[JobWorker] = []
        self._redis = redis
        self._redis_backoff = Backoff(LONGEST_DELAY_OF_REDIS)
        self._on_ready = on_ready
        self._was_ready = False
        self._reload_on = reload_on
        self._stop_asked = False

    def run(self) -> None:
        """Serve; raise ServeError when a worker ends before it ever answered."""
        on_stop_signals(self._ask_to_stop)
        try:
            for _ in range(self._workers_wanted):
                self._workers.append(Worker(self._application, self._listener, self._shutdown_delay))
            for changed_files in self._ticks():
                if self._stop_asked:
                    return
                if changed_files:
                    self._reload(changed_files)
                self._look_after_all()
        finally:
            self._stop_workers()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked = True

    def _ticks(self) -> Iterator[set[str]]:
        """Wait a moment, again and again, and yield the source files that changed meanwhile."""
        if not self._reload_on:
            while True:
                time.sleep(TICK)
                yield set()
        sources = PythonFilter(extra_extensions=(".lua",))
        for changes in watch(
            *self._reload_on, watch_filter=sources, rust_timeout=int(TICK * 1000), yield_on_timeout=True
        ):
            yield {path for _, path in changes}

    def _reload(self, changed_files: set[str]) -> None:
        logger.warning("Restarting the workers: %s changed.", ", ".join(sorted(changed_files)))
        self._stop_workers()
        for worker in self._all_workers:
            worker.start()

    def _look_after_all(self) -> None:
        self._look_after_redis()
        for worker in self._all_workers:
            self._look_after(worker)
        if not self._was_ready and all(worker.answers for worker in self._workers):
            self._was_ready = True
            self._on_ready()
            self._job_workers = [JobWorker() for _ in range(self._job_workers_wanted)]

    @property
    def _all_workers(self) -> list[Child]:
        return [*self._workers, *self._job_workers]

    def _look_after_redis(self) -> None:
        if self._redis is None or self._redis.exit_code is None:
            return
        exit_code = self._redis.exit_code
        if self._redis_backoff.allows_start(time.monotonic()):
            logger.error("The embedded Redis ended with code %s; it is started again.", exit_code)
            self._redis.launch()

    def _look_after(self, worker: Child) -> None:
        if worker.exit_code is None or self._reload_on:  # a broken source file waits for its next change
            return
        if not self._was_ready:
            raise ServeError(f"A worker ended with code {worker.exit_code} before it answered: see above.")
        if worker.backoff.allows_start(time.monotonic()):
            logger.error("Worker %d ended with code %d; another is started.", worker.pid, worker.exit_code)
            worker.wait(0)
            worker.start()

    def _stop_workers(self) -> None:
        """All at once; who is not gone after the timeout is killed."""
        for worker in self._all_workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + self._shutdown_delay + STOP_TIMEOUT
        for worker in self._all_workers:
            worker.wait(max(0.0, deadline - time.monotonic()))
