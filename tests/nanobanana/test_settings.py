import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from nanobanana.redisdb import embedded

PROJECT = Path(__file__).resolve().parents[2]
PRINT = """
import json, sys
from nanobanana import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""
SEED_ENV = """\
# 服务器配置
PORT=3001
NODE_ENV=development

# Redis 配置
REDIS_HOST=localhost
REDIS_PORT=6379
REDIS_PASSWORD=
REDIS_DB=0

# JWT 配置
JWT_SECRET=your-super-secret-jwt-key

# 云存储配置（选择一种）
STORAGE_TYPE=aws
AWS_ACCESS_KEY_ID=your-aws-access-key
AWS_SECRET_ACCESS_KEY=your-aws-secret-key
AWS_REGION=us-east-1
AWS_S3_BUCKET=nanobanana-images

# 或者使用阿里云 OSS
# STORAGE_TYPE=aliyun
# ALIYUN_ACCESS_KEY_ID=your-aliyun-access-key
# ALIYUN_ACCESS_KEY_SECRET=your-aliyun-secret-key
# ALIYUN_REGION=oss-cn-hangzhou
# ALIYUN_BUCKET=nanobanana-images
"""


class Checkout:
    """A copy of the project in which a .env can be written, read with nothing but the variables given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(PROJECT / "nanobanana", directory / "nanobanana")
        shutil.copytree(PROJECT / "tests" / "support", directory / "tests" / "support")
        (directory / "tests" / "__init__.py").touch()

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir(), **variables},
            capture_output=True,
            text=True,
        )

    def read(self, *names: str, **variables: str) -> list[Any]:
        answer = self.run("-c", PRINT, *names, **variables)
        assert answer.returncode == 0, answer.stderr
        return list(json.loads(answer.stdout).values())


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_without_any_variable_all_is_local(checkout: Checkout) -> None:
    values = checkout.read("PORT", "HOST", "IS_PRODUCTION", "REDIS_IS_EMBEDDED", "REDIS_URL", "STORAGE_TYPE")
    var = checkout.directory / "var"
    assert values == [3001, "127.0.0.1", False, True, embedded.url(var / "redis"), "local"]
    assert checkout.read("VAR_DIR", "LOG_DIR") == [str(var), str(checkout.directory / "logs")]
    assert not (var / "redis").exists()


def test_the_development_secret_is_made_once_and_only_its_owner_reads_it(checkout: Checkout) -> None:
    [secret] = checkout.read("JWT_SECRET")
    assert len(secret) >= 32
    assert checkout.read("JWT_SECRET", "SECRET_KEY") == [secret, secret]
    assert stat.S_IMODE((checkout.directory / "var" / "jwt-secret").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"REDIS_HOST": "redis"}, "redis://redis:6379/0"),
        ({"REDIS_HOST": "redis", "REDIS_PORT": "6380", "REDIS_DB": "3"}, "redis://redis:6380/3"),
        (
            {"REDIS_HOST": "redis", "REDIS_PASSWORD": "p@ss:/?#w%"},
            "redis://:p%40ss%3A%2F%3F%23w%25@redis:6379/0",
        ),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_URL": "rediss://cache:6380/1", "REDIS_HOST": "redis"}, "rediss://cache:6380/1"),
    ],
)
def test_redis_is_named_by_host_or_url(checkout: Checkout, variables: dict[str, str], url: str) -> None:
    assert checkout.read("REDIS_URL", "REDIS_IS_EMBEDDED", **variables) == [url, False]


@pytest.mark.parametrize(
    ("variables", "is_production", "host"),
    [
        ({"NODE_ENV": "production"}, True, "0.0.0.0"),
        ({"NODE_ENV": "development"}, False, "127.0.0.1"),
        ({"NODE_ENV": "development", "APP_ENV": "production"}, True, "0.0.0.0"),
        ({"NODE_ENV": "production", "HOST": "10.0.0.5"}, True, "10.0.0.5"),
    ],
)
def test_production_is_what_node_env_or_app_env_say(
    checkout: Checkout, variables: dict[str, str], is_production: bool, host: str
) -> None:
    assert checkout.read("IS_PRODUCTION", "HOST", **variables) == [is_production, host]


def test_production_makes_no_secret_of_its_own(checkout: Checkout) -> None:
    assert checkout.read("JWT_SECRET", NODE_ENV="production") == [""]
    assert not (checkout.directory / "var").exists()


def test_the_environment_beats_the_file(checkout: Checkout) -> None:
    (checkout.directory / ".env").write_text("PORT=4000\nREDIS_HOST=from-the-file\n")
    assert checkout.read("PORT", "REDIS_HOST") == [4000, "from-the-file"]
    assert checkout.read("PORT", "REDIS_HOST", PORT="5000", REDIS_HOST="") == [5000, ""]


def test_the_seeds_file_works_as_written_and_only_warns(checkout: Checkout) -> None:
    (checkout.directory / ".env").write_text(SEED_ENV)
    values = checkout.read("PORT", "APP_ENV", "REDIS_URL", "JWT_SECRET")
    assert values == [3001, "development", "redis://localhost:6379/0", "your-super-secret-jwt-key"]
    answer = checkout.run("-m", "django", "check", "--settings", "tests.support.tiny_settings")
    assert answer.returncode == 0
    assert answer.stderr.count("Production would refuse this: ") == 2


def test_the_seeds_file_is_refused_in_production(checkout: Checkout) -> None:
    (checkout.directory / ".env").write_text(SEED_ENV)
    answer = checkout.run(
        "-m", "django", "check", "--settings", "tests.support.tiny_settings", NODE_ENV="production"
    )
    assert answer.returncode == 1
    assert "JWT_SECRET can be guessed" in answer.stderr
    assert "STORAGE_TYPE=aws lacks AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in answer.stderr


def test_the_credentials_of_a_cloud_can_come_from_files(checkout: Checkout, tmp_path: Path) -> None:
    files = {}
    for name in ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"):
        (tmp_path / name).write_text(f"{name} in a file\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    place = {"ALIYUN_REGION": "oss-cn-hangzhou", "ALIYUN_BUCKET": "nanobanana-images"}
    values = checkout.read(
        "STORAGE_TYPE", "ALIYUN_ACCESS_KEY_SECRET", STORAGE_TYPE="aliyun", **files, **place
    )
    assert values == ["aliyun", "ALIYUN_ACCESS_KEY_SECRET in a file"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "99999"),
        ("NODE_ENV", "staging"),
        ("DEBUG", "maybe"),
        ("REDIS_URL", "localhost:6379"),
        ("STORAGE_TYPE", "azure"),
        ("AWS_S3_SSE", "rot13"),
        ("AWS_S3_BUCKET", "s3://pictures"),
        ("AWS_S3_ENDPOINT_URL", "minio:9000"),
        ("JWT_EXPIRES_IN", "forever"),
        ("MAX_FILE_SIZE", "large"),
        ("LOG_LEVEL", "loud"),
        ("PUBLIC_BASE_URL", "example.com"),
        ("CORS_ORIGIN", "foo"),
        ("REDIS_HOST", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1?foo=bar"),
        ("MAIL_FROM", "nobody"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_variable(checkout: Checkout, name: str, value: str) -> None:
    answer = checkout.run("-c", PRINT, **{name: value})
    assert answer.returncode == 1
    assert f"{name}={value.partition('?')[0]} must be " in answer.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["HEALTH_TOKEN", "METRICS_TOKEN"])
def test_a_token_that_would_never_match_is_refused(checkout: Checkout, name: str) -> None:
    answer = checkout.run("-c", PRINT, **{name: "é"})
    assert answer.returncode == 1
    assert f"{name} must have ASCII characters only" in answer.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("origins", "front_end"),
    [
        ("*", "http://localhost:3001"),
        ("capacitor://localhost,https://app.example.com", "https://app.example.com"),
    ],
)
def test_links_in_mails_lead_to_the_first_origin_that_is_on_the_web(
    checkout: Checkout, origins: str, front_end: str
) -> None:
    assert checkout.read("APP_URL", CORS_ORIGIN=origins) == [front_end]


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("nanobanana.worker", ["nanobanana.asgi:application", "{listener}", "{listener}", "1"]),
        ("nanobanana.job_worker", ["1"]),
    ],
)
def test_a_process_whose_settings_are_refused_says_so_in_one_line(module: str, arguments: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        answer = subprocess.run(
            [sys.executable, "-m", module, *(argument.format(listener=number) for argument in arguments)],
            cwd=PROJECT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "nanobanana.settings", "PORT": "99999"},
            pass_fds=[number],
            capture_output=True,
            text=True,
        )
    assert answer.returncode == 1
    assert answer.stderr == "PORT=99999 must be a whole number from 1 to 65535.\n"


@pytest.mark.parametrize("command", ["serve", "sweep"])
def test_commands_say_it_in_a_sentence(checkout: Checkout, command: str) -> None:
    shutil.copy(PROJECT / "manage.py", checkout.directory)
    answer = checkout.run("manage.py", command, QUOTA_BYTES="abc")
    sentence = "QUOTA_BYTES=abc must be a size such as 512KB or 10MB.\n"
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "", sentence)
