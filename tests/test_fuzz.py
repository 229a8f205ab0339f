"""Requests that schemathesis makes up from the schema, good and bad ones, and all its checks of the answers.

`make fuzz` makes many and other ones each time; here they are few and always the same.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from redis import Redis

from nanobanana.redisdb.keys import global_key
from tests.support.redis_server import RunningRedis
from tests.support.server_process import served

PROJECT = Path(__file__).resolve().parent.parent
CASES = int(os.environ.get("FUZZ_CASES", "160"))
OPERATIONS = 40  # about
FEW = ["--phases", "fuzzing", "--generation-deterministic"]
MANY = ["--phases", "examples,coverage,fuzzing,stateful"]


def test_every_answer_is_one_that_is_described(redis_server: RunningRedis, tmp_path: Path) -> None:
    with served(tmp_path / "logs") as server:
        report = fuzz(f"{server.url}/api/schema")
    forget_failed_sign_ins(redis_server)
    made = re.search(r"(\d+) generated", report)
    assert made, report
    assert int(made[1]) >= CASES, report
    sys.stdout.write(report)


def fuzz(address: str) -> str:
    """What schemathesis reports, when it finds nothing."""
    is_quick = "FUZZ_CASES" not in os.environ
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/data/schemathesis.toml"]
    command += ["run", address, "--checks", "all", "--continue-on-failure", "--no-color"]
    command += ["--max-examples", str(1 + CASES // OPERATIONS), *(FEW if is_quick else MANY)]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.fuzzing"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def forget_failed_sign_ins(redis_server: RunningRedis) -> None:
    """They would keep the tests that follow from signing in."""
    with Redis.from_url(redis_server.url) as redis:
        for key in redis.scan_iter(global_key("guesses", "*"), count=10_000):
            redis.delete(key)
