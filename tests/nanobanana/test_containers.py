"""Dockerfile, docker-compose.yml and what lies in deploy/, compared with what they package and configure."""

import os
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from redis import Redis
from redis.exceptions import AuthenticationError, ConnectionError

from nanobanana import asgi, job_worker, server, worker
from nanobanana.redisdb import embedded
from scripts.image_files import Ignored, Step, files_let_in, stages_of, steps_of
from tests.support.redis_server import shipped_binary

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)")
PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(text_of("docker-compose.yml"))["services"]


@pytest.fixture(scope="module")
def image() -> list[Step]:
    """The steps of the last stage."""
    return stages_of(ROOT / "Dockerfile")[-1]


def only(steps: list[Step], name: str) -> Step:
    [found] = [step for step in steps if step.name == name]
    return found


# ---- what is in the image
def test_all_of_the_code_goes_into_the_image() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    files = list(files_of(project["tool"]["importlinter"]["root_packages"]))
    files += ["manage.py", "requirements.txt", "constraints.txt", "LICENSE"]
    assert len(files) > 100
    assert files_let_in(ROOT, files) == files


def files_of(packages: list[str]) -> Iterator[str]:
    for package in packages:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def test_nothing_else_does() -> None:
    ignored = Ignored(ROOT / ".dockerignore")
    others = ["tests/conftest.py", "docs/api.md", "bench/requests.py", "var/jwt-secret", ".env", ".git/HEAD"]
    others += [
        "Dockerfile",
        "README.md",
        ".venv/pyvenv.cfg",
        "logs/error.log",
        "nanobanana/__pycache__/x.pyc",
    ]
    others += ["chats/services/__pycache__/trash.cpython-311.pyc", "deploy/nginx/certificates/privkey.pem"]
    assert [path for path in others if path not in ignored] == []


def test_every_source_of_a_copy_exists() -> None:
    ignored = Ignored(ROOT / ".dockerignore")
    copies = [step for step in steps_of(ROOT / "Dockerfile") if step.name == "COPY" and not step.options]
    sources = [source for step in copies for source in step.words[:-1]]
    assert sources
    named = [name for name in sources if name != "."]
    assert [name for name in named if not (ROOT / name).exists() or name in ignored] == []


# ---- how it runs
def test_it_writes_to_its_volumes_alone(image: list[Step], services: dict[str, Any]) -> None:
    home = only(image, "WORKDIR").text
    directories = {f"{home}/{path.relative_to(ROOT)}" for path in (ROOT / "var", ROOT / "logs")}
    assert set(only(image, "VOLUME").words) == directories
    app = services["app"]
    assert {mount.partition(":")[2] for mount in app["volumes"]} == directories
    assert {app["environment"]["VAR_DIR"], app["environment"]["LOG_DIR"]} == directories
    assert app["read_only"]


def test_it_runs_as_nobody_and_says_how_it_is(image: list[Step]) -> None:
    assert only(image, "USER").text.split(":")[0] not in {"", "0", "root"}
    assert "nanobanana.healthcheck" in only(image, "HEALTHCHECK").text
    assert only(image, "CMD").words[:3] == ["python", "manage.py", "serve"]


def test_it_is_made_for_production(image: list[Step], services: dict[str, Any]) -> None:
    assert "NODE_ENV=production" in only(image, "ENV").words
    assert services["app"]["environment"]["APP_ENV"] == "${APP_ENV:-production}"


def test_ports_agree(image: list[Step], services: dict[str, Any]) -> None:
    port = str(re.search(r"^PORT=(\d+)", text_of("env.example"), flags=re.MULTILINE)[1])  # type: ignore[index]
    app = services["app"]
    assert only(image, "EXPOSE").text == app["environment"]["PORT"] == port
    assert app["ports"] == [f"${{HOST:-0.0.0.0}}:${{PORT:-{port}}}:{port}"]
    assert f"server app:{port};" in text_of("deploy/nginx/nginx.conf")


def test_there_is_time_to_stop(services: dict[str, Any]) -> None:
    delay = 5  # SHUTDOWN_DELAY in production
    needed = delay + server.STOP_TIMEOUT + embedded.STOP_TIMEOUT
    assert worker.GRACE < server.STOP_TIMEOUT
    assert seconds(services["app"]["stop_grace_period"]) > needed
    assert seconds(services["redis"]["stop_grace_period"]) > embedded.STOP_TIMEOUT
    assert int(re.findall(r"TimeoutStopSec=(\d+)", text_of("deploy/systemd/nanobanana.service"))[0]) > needed
    assert seconds(services["worker"]["stop_grace_period"]) > job_worker.GRACE + job_worker.REST
    assert job_worker.GRACE + job_worker.REST <= server.STOP_TIMEOUT
    unit = text_of("deploy/systemd/nanobanana-worker.service")
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > job_worker.GRACE + job_worker.REST
    assert int(re.findall(r"--stop-timeout (\d+)", text_of("README.md"))[0]) > needed


def seconds(span: str) -> int:
    return int(span.removesuffix("s"))


# ---- compose
def test_jobs_are_done_by_one_service_alone(services: dict[str, Any]) -> None:
    app, worker = services["app"], services["worker"]
    assert app["environment"]["JOB_WORKERS"] == "0"
    assert worker["command"] == ["python", "manage.py", "worker"]
    counting = {"PROMETHEUS_MULTIPROC_DIR": metrics_directory(app["environment"])}
    assert worker["environment"] == app["environment"] | counting
    assert worker["volumes"] == app["volumes"]


def test_on_a_machine_a_worker_counts_where_its_server_does() -> None:
    settings = {"VAR_DIR": "/srv/nanobanana/var", "PORT": "3001"}  # of the unit's directory, and the default
    unit = text_of("deploy/systemd/nanobanana-worker.service")
    assert f"\nEnvironment=PROMETHEUS_MULTIPROC_DIR={metrics_directory(settings)}\n" in unit


def metrics_directory(environment: dict[str, str]) -> str:
    """As nanobanana/management/commands/serve.py chooses it."""
    return f"{environment['VAR_DIR']}/metrics/{environment['PORT']}"


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    foreign = [service["image"] for service in services.values() if "build" not in service]
    foreign += [step.words[0] for step in steps_of(ROOT / "Dockerfile") if step.name == "FROM"]
    assert [name for name in foreign if not PINNED.fullmatch(name)] == []


def test_every_variable_of_compose_is_explained() -> None:
    offered = set(re.findall(r"^([A-Z0-9_]+)=", text_of("env.example"), flags=re.MULTILINE))
    assert set(VARIABLE.findall(text_of("docker-compose.yml"))) <= offered


def test_a_missing_secret_is_one_sentence() -> None:
    compose = text_of("docker-compose.yml")
    for name in ("JWT_SECRET", "REDIS_PASSWORD"):
        sentences = re.findall(rf"\$\{{{name}:\?([^}}]+)\}}", compose)
        assert sentences
        assert all(f"set {name} in .env" in sentence for sentence in sentences)


def test_whatever_waits_for_a_service_waits_for_its_health(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert name == "app" or "healthcheck" in services[name]  # that of the image


def test_every_volume_and_mount_of_compose_exists(services: dict[str, Any]) -> None:
    declared = yaml.safe_load(text_of("docker-compose.yml"))["volumes"]
    sources = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert {name for name in sources if not name.startswith("./")} == set(declared)
    made_by_operators = {"./deploy/nginx/certificates"}
    files = {name for name in sources if name.startswith("./")} - made_by_operators
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_its_redis_wants_the_password_and_keeps_everything(services: dict[str, Any], tmp_path: Path) -> None:
    """The command of compose, run by the server that ships."""
    (tmp_path / "valkey-server").symlink_to(shipped_binary())
    here = f"--dir {tmp_path} --port 0 --unixsocket {tmp_path}/socket --unixsocketperm 700"
    command = services["redis"]["command"][-1].replace("$$", "$").replace("--dir /data", here)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "REDIS_PASSWORD": "pass-word_1"}
    process = subprocess.Popen(["sh", "-c", command], env=environment, stdout=-3)
    try:
        with Redis(unix_socket_path=f"{tmp_path}/socket", password="pass-word_1", retry=None) as redis:
            wait_for(redis)
            wanted = {name: value for name, value in embedded.OPTIONS.items() if name in KEPT_BY_COMPOSE}
            assert redis.config_get(*wanted) == wanted
        stranger = Redis(unix_socket_path=f"{tmp_path}/socket", password="wrong", retry=None)
        with stranger, pytest.raises(AuthenticationError):
            stranger.ping()
    finally:
        process.terminate()
    assert process.wait(10) == 0, "it is told to stop itself, and leaves in order"
    with pytest.raises(ConnectionError):
        Redis(unix_socket_path=f"{tmp_path}/socket", retry=None).ping()


KEPT_BY_COMPOSE = {
    "save",
    "appendonly",
    "appendfsync",
    "maxmemory-policy",
    "hash-max-ziplist-value",
    "zset-max-ziplist-entries",
}


def wait_for(redis: Redis) -> None:
    """The time limit of the test ends what never comes."""
    while True:
        try:
            redis.ping()
            return
        except ConnectionError:
            time.sleep(0.02)


# ---- nginx
def test_nginx_lets_pass_what_the_server_takes() -> None:
    conf = text_of("deploy/nginx/nginx.conf")
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", conf)
    largest = settings.MAX_FILE_SIZE * settings.MAX_FILES_AT_ONCE + asgi.MULTIPART_OVERHEAD
    assert largest <= int(megabytes) * 1024**2 < largest + 2 * 1024**2
    assert all(int(found) > 60 for found in re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", conf))
    for header in ("Upgrade $http_upgrade", "X-Forwarded-For $proxy_add_x_forwarded_for"):
        assert f"proxy_set_header {header};" in conf


def test_idle_connections_are_closed_by_nginx_first() -> None:
    [idle] = re.findall(r"keepalive_timeout (\d+)s;", text_of("deploy/nginx/nginx.conf"))
    assert int(idle) < worker.configuration("nanobanana.asgi:application").timeout_keep_alive


def test_nginx_writes_no_queries_into_its_log() -> None:
    conf = text_of("deploy/nginx/nginx.conf")
    [log_format] = re.findall(r"log_format \w+ '(.*)';", conf)
    assert not {"$request ", "$request_uri", "$args", "$http_referer"} & set(
        re.findall(r"\$\w+ ?", log_format)
    )
    assert re.search(r"^error_log \S+ crit;", conf, flags=re.MULTILINE)


def test_the_server_believes_nginx_alone(services: dict[str, Any]) -> None:
    address = services["nginx"]["networks"]["default"]["ipv4_address"]
    assert services["app"]["environment"]["TRUSTED_PROXIES"] == f"${{TRUSTED_PROXIES:-{address}}}"


# ---- the document the project was asked for with
@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_commands_of_the_seed_are_in_the_readme(readme: str) -> None:
    text = text_of(readme)
    commands = [
        "cp env.example .env",
        "nano .env",
        "docker compose up -d",
        "docker build -t nanobanana-server .",
    ]
    commands += ["docker run -d", "--name nanobanana-server", "-p 3001:3001", "--env-file .env"]
    places = [text.find(command) for command in commands]
    assert -1 not in places
    assert places == sorted(places)
