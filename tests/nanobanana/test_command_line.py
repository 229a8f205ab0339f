"""Commands as a shell runs them: signals, prompts, and an output that nobody reads."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from nanobanana.server import PROJECT
from tests.support.redis_server import RunningRedis

pytestmark = pytest.mark.usefixtures("redis_server")
MANAGE = (sys.executable, "manage.py")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    line = f"{MANAGE[0]} {MANAGE[1]} {command}"
    return subprocess.run(line, shell=True, cwd=PROJECT, capture_output=True, text=True)


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command that a person speaks with, and the person's side of the terminal."""
    person, terminal = pty.openpty()
    command = subprocess.Popen(
        [*MANAGE, *arguments], cwd=PROJECT, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True
    )
    os.close(terminal)
    yield command, person
    command.kill()
    command.wait()
    os.close(person)


def heard(person: int, words: bytes) -> bytes:
    text = b""
    while words not in text:
        text += os.read(person, 1000)
    return text


def test_ctrl_c_at_a_prompt_ends_it_at_once() -> None:
    with on_a_terminal("createuser", "nobody@example.com") as (command, person):
        heard(person, b"Password: ")
        time.sleep(0.1)  # until it reads
        command.send_signal(signal.SIGINT)
        heard(person, b"Stopped.")
        assert command.wait(10) == 130


def test_ctrl_c_ends_a_stress_run_without_a_word_more() -> None:
    with on_a_terminal("stress", "--seconds", "30") as (command, person):
        heard(person, b" written, ")  # it is drawing its progress
        command.send_signal(signal.SIGINT)
        said = heard(person, b"Stopped.")
        assert command.wait(20) == 130
    assert b"Traceback" not in said


def test_the_end_of_the_input_at_a_prompt_is_said() -> None:
    with on_a_terminal("createuser", "nobody@example.com") as (command, person):
        heard(person, b"Password: ")
        os.write(person, b"\x04")
        heard(person, b"Nothing was typed.")
        assert command.wait(10) == 1


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("stats | true", 0, ""),
        ("stats > /dev/full", 1, "the answer cannot be written: No space left on device."),
        ("createuser nobody@example.com <&-", 1, "There is no input to read from."),
        ("jobs drop nothing", 1, "Nothing to drop: nothing"),
    ],
)
def test_what_cannot_be_read_or_written_is_a_sentence(command: str, code: int, sentence: str) -> None:
    run = shell(command)
    assert run.returncode == code
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr


def test_a_key_of_another_type_is_no_outage(redis_server: RunningRedis) -> None:
    with Redis.from_url(redis_server.url) as redis:
        redis.set("nb:sweep", "a word")
        run = shell("sweep")
        redis.delete("nb:sweep")
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert "Redis refuses a command (WRONGTYPE" in run.stderr


def test_a_backup_that_is_told_to_stop_leaves_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "all.backup"
    command = subprocess.Popen([*MANAGE, "backup", str(target)], cwd=PROJECT, stderr=subprocess.PIPE)
    while command.poll() is None and not any(tmp_path.glob(".draft-*")):
        time.sleep(0.005)
    command.terminate()
    _, said = command.communicate(timeout=30)
    assert list(tmp_path.glob(".draft-*")) == []
    assert command.returncode in {0, 130}, said
    assert not re.search(rb"Traceback", said)
