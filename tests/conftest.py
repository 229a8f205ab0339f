"""What every test stands on: a Redis of its own, the real server in this process, and the cast.

Alice has two devices, a laptop and a phone; Mallory must see nothing of Alice's.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

LONG_FILES = {
    "test_crash",
    "test_fuzz",
    "test_state_machine",
    "test_demo",
    "test_throttling",
    "test_serve",
    "test_typescript",
    "test_python_sync",
    "test_attack_matrix",
    "test_hostile_bodies",
    "test_idempotency",
    "test_metrics",
    "test_jobs",
}
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2 * 1024**3  # bytes

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_MEMORY:
    # Each change waits for the disk otherwise; what a killed process wrote is there either way.
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
HOME = Path(tempfile.mkdtemp(prefix="nanobanana-test-"))
# Before Django reads the settings; what a developer has in .env or the shell must not reach the tests.
os.environ.update(
    DJANGO_SETTINGS_MODULE="nanobanana.settings",
    PYTHON_DOTENV_DISABLED="1",
    APP_ENV="test",
    VAR_DIR=str(HOME / "var"),
    LOG_DIR=str(HOME / "logs"),
    LOG_LEVEL="info",
    REDIS_URL=f"unix://{HOME}/redis.sock",
    JWT_SECRET="a secret for tests only, long enough for HS256",
    JWT_SECRET_PREVIOUS="what these tests signed with before, as long",
    STORAGE_TYPE="local",
    JOB_WORKERS="0",
    RATE_LIMIT_MAX_REQUESTS="0",
    PUBLIC_BASE_URL="http://testserver",
)

import django  # noqa: E402
import pytest  # noqa: E402

django.setup()
logging.getLogger("httpx").setLevel("WARNING")  # a line for each request is the server's own affair
del os.environ["DJANGO_SETTINGS_MODULE"]  # or xdist's workers would load the settings before they come here

from tests.support.people import Person, make_person  # noqa: E402
from tests.support.redis_server import RunningRedis, start_redis  # noqa: E402
from tests.support.web_server import WebServer, serve_in_process  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose few tests take long, so that no process has one left at the end."""
    items.sort(key=lambda item: item.path.stem not in LONG_FILES)  # others stay in their order


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RunningRedis]:
    """A real Redis for this test process: Valkey, or 6.2 with NANOBANANA_TEST_REDIS=floor."""
    floor = os.environ.get("NANOBANANA_TEST_REDIS") == "floor"
    server = start_redis(HOME, floor=floor)
    assert server.url == os.environ["REDIS_URL"]
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def server(redis_server: RunningRedis) -> AsyncIterator[WebServer]:
    """The whole application on a real port, in the tests' own event loop."""
    async with serve_in_process() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strength of Argon2 is not what these tests are about, and it takes 30 ms each time."""
    from accounts.passwords import Argon2idHasher

    monkeypatch.setattr(Argon2idHasher, "memory_cost", 64)
    monkeypatch.setattr(Argon2idHasher, "time_cost", 1)


@pytest.fixture(autouse=True)
def _fresh_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found in the test before is not what is asked for in this one."""
    from nanobanana import health

    monkeypatch.setattr(health, "FRESH_FOR", 0)


@pytest.fixture(autouse=True)
def _patient_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request does all itself that it would leave to a worker after a while: there is none."""
    from nanobanana import jobs

    monkeypatch.setattr(jobs, "PATIENCE", 30)


@pytest.fixture(autouse=True)
def _no_request_outlives_its_test() -> Iterator[None]:
    """A request begun outside of a task would be the one at hand in every later test."""
    from nanobanana.request_ids import request_id

    yield
    assert request_id() == "-", "Begin a request in an async test."


@pytest.fixture
async def alice(server: WebServer) -> AsyncIterator[Person]:
    """Owns what the tests are about; signed in on two devices, `alice.laptop` and `alice.phone`."""
    async with make_person(server, "Alice") as person:
        yield person


@pytest.fixture
async def mallory(server: WebServer) -> AsyncIterator[Person]:
    """Signed in as well, and not to learn anything of Alice's."""
    async with make_person(server, "Mallory") as person:
        yield person
