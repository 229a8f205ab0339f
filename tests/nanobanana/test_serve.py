import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from django.core.management.base import CommandError
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from nanobanana.management.commands.serve import Command
from nanobanana.redisdb import embedded
from nanobanana.redisdb.embedded import EmbeddedServer
from nanobanana.server import LONGEST_DELAY_OF_REDIS, Backoff, listen

PROJECT = Path(__file__).resolve().parents[2]
UNSET = ("HOST", "NODE_ENV", "APP_ENV", "DEBUG", "REDIS_HOST", "REDIS_URL", "STORAGE_TYPE", "PUBLIC_BASE_URL")
STRONG_SECRET = "k3Jx9vQ2mZ7tR5yW8bN4cL6hF1dS0gAq"


def start(*options: str, var: Path, project: Path = PROJECT, **variables: str) -> subprocess.Popen[str]:
    """`manage.py serve` with a tiny application, in a process group of its own as a shell would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.serve_tiny", *options],
        cwd=project,
        env={
            **os.environ,
            **dict.fromkeys(UNSET, ""),  # set and empty, so that a developer's .env has no say
            "JWT_SECRET": STRONG_SECRET,
            "VAR_DIR": str(var),
            "LOG_DIR": str(var / "logs"),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*options: str, var: Path, **variables: str) -> tuple[int, str]:
    """The exit code and stderr of a server that ends by itself."""
    process = start(*options, var=var, **variables)
    _, errors = process.communicate()
    return process.returncode, errors


class Server:
    """A server that is ready."""

    def __init__(self, process: subprocess.Popen[str], var: Path) -> None:
        self.process = process
        self.var = var
        self.printed = self._read_announcement()
        self.port = int(re.findall(r"http://localhost:(\d+)", self.printed)[0])
        self.children = children_of(process)

    def _read_announcement(self) -> str:
        assert self.process.stdout
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("  logs"):
                return "".join(lines)
        pytest.fail(self.process.communicate()[1])

    def get(self, path: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).raise_for_status().text

    def open_socket(self) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}/ws", compression=None)

    def workers(self) -> set[int]:
        return {child.pid for child in children_of(self.process) if is_worker(child)}

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal to the process group; return the exit code and stderr."""
        os.killpg(self.process.pid, number)
        _, errors = self.process.communicate()
        return self.process.returncode, errors


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []


def is_worker(process: psutil.Process) -> bool:
    try:
        return "nanobanana.worker" in process.cmdline()
    except psutil.NoSuchProcess:  # or a zombie
        return False


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    """The time limit of the test ends what never comes."""
    while not condition():
        time.sleep(0.02)


@contextmanager
def serving(*options: str, var: Path, project: Path = PROJECT, **variables: str) -> Iterator[Server]:
    process = start("--port", "0", *options, var=var, project=project, **variables)
    started: list[psutil.Process] = []
    try:
        server = Server(process, var)
        started += server.children
        yield server
    finally:
        started += children_of(process)
        process.kill()
        for each in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.communicate()


@contextmanager
def hanging_up(means: signal.Handlers) -> Iterator[None]:
    """What is started inside takes a closed terminal like this, whatever the tests were started with."""
    before = signal.signal(signal.SIGHUP, means)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For the tests that do not stop it; started as `nohup` does."""
    with contextlib.ExitStack() as stack:
        with hanging_up(signal.SIG_IGN):
            var = tmp_path_factory.mktemp("var")
            server = stack.enter_context(serving("--workers", "2", var=var))
        yield server


def test_it_serves_http_and_websocket_on_one_port(server: Server) -> None:
    assert server.get("/count") == "1"
    with server.open_socket() as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"


def test_it_prints_where_it_serves_and_keeps_what(server: Server) -> None:
    assert f"http://localhost:{server.port}\n" in server.printed
    assert f"ws://localhost:{server.port}/ws/<sessionId>\n" in server.printed
    assert "/var0\n" in server.printed
    assert "/var0/logs\n" in server.printed


def test_a_worker_knows_the_port_it_was_given(server: Server) -> None:
    assert server.get("/address") == f"http://localhost:{server.port}"


def test_there_are_as_many_workers_as_asked(server: Server) -> None:
    assert len(server.workers()) == 2
    answered: set[int] = set()
    while answered != server.workers():
        answered.add(int(server.get("/pid")))


def test_a_huge_head_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /pid HTTP/1.1\r\nX-Filler: " + b"x" * 64 * 1024)
        assert connection.makefile("rb").readline() == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


def test_a_large_body_is_no_huge_head(server: Server) -> None:
    response = httpx.post(f"http://127.0.0.1:{server.port}/pid", content=b"x" * 1024 * 1024)
    assert response.status_code == 200
    assert "server" not in response.headers


def test_a_huge_frame_ends_the_socket(server: Server) -> None:
    with server.open_socket() as websocket:
        websocket.send("x" * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1009


def test_a_second_server_on_the_same_data_is_refused(server: Server) -> None:
    code, errors = run("--port", "0", var=server.var)
    assert code == 1
    assert errors == (
        f"CommandError: The embedded Redis in {server.var}/redis is in use by process {server.process.pid}: "
        "stop that one first, or use another directory.\n"
    )


def test_a_port_in_use_is_one_sentence(server: Server, tmp_path: Path) -> None:
    code, errors = run("--port", str(server.port), var=tmp_path)
    assert code == 1
    assert errors == (
        f"CommandError: Port {server.port} on 127.0.0.1 is in use by another program: "
        "stop it, or choose another port.\n"
    )
    assert not embedded.answers(embedded.socket_path(tmp_path / "redis"))


def test_a_port_that_is_just_being_left_is_waited_for() -> None:
    leaving = socket.create_server(("127.0.0.1", 0))
    port = leaving.getsockname()[1]
    timer = threading.Timer(0.3, leaving.close)
    timer.start()
    with listen("127.0.0.1", port) as listener:
        assert listener.getsockname()[1] == port
    timer.join()


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    with serving("--workers", "2", var=tmp_path) as server, server.open_socket() as websocket:
        assert len(server.children) == 3
        assert server.end(signal.SIGINT) == (0, "")
        assert all(has_ended(process) for process in server.children)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1012  # come back: the service restarts


def test_a_request_in_flight_is_answered_before_the_server_stops(tmp_path: Path) -> None:
    with serving("--workers", "1", var=tmp_path) as server, ThreadPoolExecutor() as threads:
        answer = threads.submit(server.get, "/slow")
        with Redis.from_url(embedded.url(tmp_path / "redis")) as redis:
            redis.blpop(["begun"])
        assert server.end(signal.SIGTERM) == (0, "")
        assert answer.result() == "done"


def test_told_to_stop_it_says_so_and_serves_on_for_the_delay(tmp_path: Path) -> None:
    with serving("--workers", "1", var=tmp_path, SHUTDOWN_DELAY="1") as server:
        assert server.get("/stops") == "False"
        told_at = time.monotonic()
        server.process.terminate()
        wait_until(lambda: server.get("/stops") == "True")
        assert server.get("/count") == "1"
        assert server.process.wait() == 0
        assert time.monotonic() - told_at >= 1


def test_a_closed_terminal_stops_it(tmp_path: Path) -> None:
    with hanging_up(signal.SIG_DFL), serving("--workers", "1", var=tmp_path) as server:
        assert server.end(signal.SIGHUP) == (0, "")


def test_under_nohup_a_closed_terminal_does_not(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(timeout=0.5)


def test_what_keeps_dying_is_started_ever_more_slowly() -> None:
    backoff = Backoff()
    starts = [second for second in range(130) if backoff.allows_start(second)]
    assert starts == [0, 1, 3, 7, 15, 31, 61, 91, 121]
    assert backoff.allows_start(200)  # it was calm for a minute
    assert not backoff.allows_start(200.5)
    assert backoff.allows_start(201)


def test_a_redis_that_keeps_dying_is_back_within_seconds_once_it_can() -> None:
    backoff = Backoff(LONGEST_DELAY_OF_REDIS)
    assert [second for second in range(20) if backoff.allows_start(second)] == [0, 1, 3, 7, 11, 15, 19]


def test_what_is_killed_now_and_then_is_started_at_once() -> None:
    backoff = Backoff()
    assert all(backoff.allows_start(second) for second in range(0, 100, 5))


def test_a_killed_worker_is_replaced(server: Server) -> None:
    killed = psutil.Process(int(server.get("/pid")))
    killed.kill()
    wait_until(lambda: has_ended(killed) and len(server.workers() - {killed.pid}) == 2)
    answered: set[int] = set()
    while answered != server.workers():
        answered.add(int(server.get("/pid")))


def test_a_killed_redis_is_replaced_with_its_data(server: Server) -> None:
    count = int(server.get("/count"))
    socket_path = embedded.socket_path(server.var / "redis")
    with Redis(unix_socket_path=str(socket_path)) as redis:
        killed = psutil.Process(redis.info("server")["process_id"])
    killed.kill()
    wait_until(lambda: has_ended(killed) and embedded.answers(socket_path))
    assert int(server.get("/count")) == count + 1


def test_after_a_killed_supervisor_the_next_start_works_at_once(tmp_path: Path) -> None:
    with serving("--workers", "2", var=tmp_path, SHUTDOWN_DELAY="60") as killed:
        assert killed.get("/count") == "1"
        killed.process.kill()
        with serving("--port", str(killed.port), var=tmp_path) as server:
            assert server.port == killed.port
            wait_until(lambda: all(has_ended(process) for process in killed.children))
            assert server.get("/count") == "2"


def test_an_application_that_cannot_be_imported_ends_the_server(tmp_path: Path) -> None:
    application = "tests.support.tiny_asgi:no_such_name"
    code, errors = run("--port", "0", "--workers", "1", var=tmp_path, TINY_APPLICATION=application)
    assert code == 1
    assert errors == (
        'Error loading ASGI app. Attribute "no_such_name" not found in module "tests.support.tiny_asgi".\n'
        "CommandError: A worker ended with code 3 before it answered: see above.\n"
    )
    assert not embedded.answers(embedded.socket_path(tmp_path / "redis"))


def test_a_redis_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    code, errors = run(var=tmp_path, REDIS_URL="redis://:hidden@127.0.0.1:1/0")
    assert code == 1
    assert errors.startswith("CommandError: Redis at redis://127.0.0.1:1/0 does not answer (")
    assert errors.endswith("or leave them empty for the embedded one.\n")
    assert "hidden" not in errors
    assert errors.count("\n") == 1


def test_a_redis_that_forgets_is_refused_in_production(tmp_path: Path) -> None:
    with evicting_redis(tmp_path) as url:
        code, errors = run(
            "--port", "0", var=tmp_path, REDIS_URL=url, EMAIL_URL="smtp://localhost", NODE_ENV="production"
        )
    assert code == 1
    assert errors == (
        "CommandError: Redis deletes accounts and messages when its memory is full (maxmemory-policy "
        "allkeys-lru): set maxmemory-policy to noeviction.\n"
    )


def test_a_redis_that_forgets_is_warned_of_in_development(tmp_path: Path) -> None:
    with evicting_redis(tmp_path) as url, serving("--workers", "1", var=tmp_path, REDIS_URL=url) as server:
        assert server.get("/count") == "1"
        code, errors = server.end(signal.SIGTERM)
    assert code == 0
    assert errors.startswith("Production would refuse this: Redis deletes accounts and messages")


@contextmanager
def evicting_redis(tmp_path: Path) -> Iterator[str]:
    with EmbeddedServer(tmp_path / "other") as server:
        with Redis.from_url(server.url) as redis:
            redis.config_set("maxmemory", "100mb")
            redis.config_set("maxmemory-policy", "allkeys-lru")
        yield server.url


def test_changed_code_is_served_after_a_reload(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for package in ("nanobanana", "tests/support"):
        shutil.copytree(PROJECT / package, project / package)
    (project / "tests" / "__init__.py").touch()
    with serving("--reload", var=tmp_path / "var", project=project) as server:
        first = server.get("/pid")
        source = project / "tests" / "support" / "tiny_asgi.py"
        source.write_text(source.read_text().replace("os.getpid()", "-1"))

        def another_answers() -> bool:
            try:
                return server.get("/pid") != first
            except httpx.TransportError:  # the one that stops closes what has come in without a request
                return False

        wait_until(another_answers)
        assert server.get("/pid") == "-1"
        assert server.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "two"], ["--port", "65536"]])
def test_nonsense_is_refused(options: list[str]) -> None:
    with pytest.raises(CommandError, match=f"{options[1]} must be a whole number from"):
        Command().create_parser("manage.py", "serve").parse_args(options)
