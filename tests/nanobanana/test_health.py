"""GET /health, GET /health/live, GET /health/ready"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import httpx
import orjson
import pytest

from media_store.storage import LocalStorage
from nanobanana import health, job_queue, stopping
from nanobanana.errors import ServiceUnavailable
from nanobanana.redisdb import client
from tests.support.outages import evicting, full, replica
from tests.support.people import Person
from tests.support.redis_server import RunningRedis

PROJECT = Path(__file__).resolve().parents[2]
WELL = {"redis": "ok", "storage": "ok", "worker": "ok", "jobs": "ok"}


@pytest.fixture(autouse=True)
async def _somebody_does_jobs(redis_server: RunningRedis) -> AsyncIterator[None]:
    await client.ask("ZADD", job_queue.HEARTBEATS, int(time.time() * 1000), "somebody")
    yield
    await client.ask("DEL", job_queue.HEARTBEATS)


@pytest.fixture
def without_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "media"
    in_the_way.write_text("a file where a directory has to be")
    monkeypatch.setattr(health, "get_storage", lambda: LocalStorage(in_the_way))


def assert_not_ready(answer: httpx.Response, **reasons: str) -> None:
    """Each service that is named is unavailable, for a reason with these words; the others are well."""
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    content = answer.json()
    assert content["status"] == "unavailable"
    assert content["services"] == WELL | dict.fromkeys(reasons, "unavailable")
    assert content["reasons"].keys() == reasons.keys()
    for name, words in reasons.items():
        assert words in content["reasons"][name]


# ---- GET /health
async def test_it_says_that_all_is_well_to_anybody(alice: Person) -> None:
    answer = await alice.laptop.http.get("/health")
    assert answer.status_code == 200
    content = answer.json()
    assert content.keys() == {"status", "timestamp", "services", "storageType"}
    assert content["storageType"] == "local"
    assert (content["status"], content["services"]) == ("ok", {"redis": "ok", "storage": "ok"})
    assert datetime.fromisoformat(content["timestamp"]).tzinfo
    assert content["timestamp"].endswith("Z")


async def test_without_redis_it_says_so_and_recovers(alice: Person, redis_server: RunningRedis) -> None:
    redis_server.kill()
    answer = await alice.laptop.http.get("/health")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["services"] == {"redis": "unavailable", "storage": "ok"}
    assert str(redis_server.url.removeprefix("unix://")) not in answer.text
    redis_server.restart()
    assert (await alice.laptop.http.get("/health")).status_code == 200


@pytest.mark.usefixtures("without_storage")
async def test_without_storage_it_says_so(alice: Person, tmp_path: Path) -> None:
    answer = await alice.laptop.http.get("/health")
    assert answer.status_code == 503
    assert answer.json()["services"] == {"redis": "ok", "storage": "unavailable"}
    assert str(tmp_path) not in answer.text


# ---- GET /health/live
async def test_the_process_lives_whatever_is_missing(alice: Person, redis_server: RunningRedis) -> None:
    redis_server.kill()
    answer = await alice.laptop.http.get("/health/live")
    redis_server.restart()
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


# ---- GET /health/ready
async def test_it_is_ready_when_all_is_well(alice: Person) -> None:
    answer = await alice.laptop.http.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json().keys() == {"status", "timestamp", "services"}
    assert answer.json()["services"] == WELL


async def test_it_is_not_ready_without_redis(alice: Person, redis_server: RunningRedis) -> None:
    redis_server.kill()
    answer = await alice.laptop.http.get("/health/ready")
    redis_server.restart()
    assert_not_ready(answer, redis="does not answer", jobs="does not answer")
    assert (await alice.laptop.http.get("/health/ready")).status_code == 200


async def test_it_is_not_ready_while_redis_is_silent(
    alice: Person, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SECONDS_TO_ANSWER", 0.2)
    os.kill(redis_server.pid, signal.SIGSTOP)
    answer = await alice.laptop.http.get("/health/ready")
    os.kill(redis_server.pid, signal.SIGCONT)
    assert_not_ready(answer, redis="does not answer", jobs="does not answer")


async def nobody_does_jobs() -> None:
    long_ago = int((time.time() - job_queue.DEAD_AFTER - 1) * 1000)
    await client.ask("ZADD", job_queue.HEARTBEATS, long_ago, "somebody")


async def test_it_is_not_ready_while_nobody_does_jobs_where_it_needs_them(alice: Person, settings) -> None:
    settings.READY_NEEDS_JOBS = True
    assert (await alice.laptop.http.get("/health/ready")).status_code == 200
    await nobody_does_jobs()
    assert_not_ready(await alice.laptop.http.get("/health/ready"), jobs="manage.py worker")


async def test_it_is_ready_while_nobody_does_jobs_and_says_so(alice: Person) -> None:
    await nobody_does_jobs()
    answer = await alice.laptop.http.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["services"] == WELL | {"jobs": "unavailable"}
    assert "manage.py worker" in answer.json()["reasons"]["jobs"]


async def test_it_is_not_ready_while_redis_takes_no_writes(alice: Person) -> None:
    async with replica():
        answer = await alice.laptop.http.get("/health/ready")
        present = await alice.laptop.http.get("/health")
    assert_not_ready(answer, redis="takes no writes")
    assert present.status_code == 200
    assert (await alice.laptop.http.get("/health/ready")).status_code == 200


async def test_it_is_not_ready_while_redis_is_full(alice: Person) -> None:
    async with full():
        answer = await alice.laptop.http.get("/health/ready")
    assert_not_ready(answer, redis="is full")
    assert (await alice.laptop.http.get("/health/ready")).status_code == 200


async def test_it_is_not_ready_while_redis_would_delete_what_it_has(alice: Person) -> None:
    async with evicting():
        answer = await alice.laptop.http.get("/health/ready")
    assert_not_ready(answer, redis="noeviction")


@pytest.mark.usefixtures("without_storage")
async def test_it_is_not_ready_without_storage(alice: Person, tmp_path: Path) -> None:
    answer = await alice.laptop.http.get("/health/ready")
    assert_not_ready(answer, storage="picture storage")
    assert str(tmp_path) not in answer.text


async def test_a_storage_that_does_not_answer_holds_nobody_up(
    alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SilentStorage(LocalStorage):
        async def check(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(health, "get_storage", lambda: SilentStorage(tmp_path))
    monkeypatch.setattr(health, "SECONDS_TO_ANSWER", 0.05)
    assert_not_ready(await alice.laptop.http.get("/health/ready"), storage="picture storage")


async def test_it_is_not_ready_when_told_to_stop(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "is_stopping", lambda: True)
    assert_not_ready(await alice.laptop.http.get("/health/ready"), worker="told to stop")
    assert (await alice.laptop.http.get("/health")).status_code == 200


# ---- details for who has the token
@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_with_a_token_set_others_see_the_status_alone(
    alice: Person, path: str, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEALTH_TOKEN = "the operator's"
    http = alice.laptop.http
    monkeypatch.setattr(stopping, "is_stopping", lambda: True)
    plain = await http.get(path)
    assert plain.json().keys() == {"status"}
    for other in ("Bearer wrong", "the operator's", f"Bearer {alice.laptop.token}", "Bearer \xff"):
        answer = await http.get(path, headers={"Authorization": other.encode("latin-1")})
        assert (answer.status_code, answer.json()) == (plain.status_code, plain.json())
    shown = await http.get(path, headers={"Authorization": "Bearer the operator's"})
    assert shown.status_code == plain.status_code
    assert "services" in shown.json()


# ---- the HEALTHCHECK of the image
async def check_health(port: int) -> tuple[int | None, str]:
    """The exit code of the check, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nanobanana.healthcheck"),
        env={"PORT": str(port), "http_proxy": "http://127.0.0.1:1"},
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_a_container_is_healthy_while_all_is_well(alice: Person) -> None:
    code, printed = await check_health(alice.laptop.server.port)
    assert (code, orjson.loads(printed)["status"]) == (0, "ok")


@pytest.mark.usefixtures("without_storage")
async def test_a_container_is_not_healthy_without_storage(alice: Person) -> None:
    code, printed = await check_health(alice.laptop.server.port)
    assert (code, orjson.loads(printed)["status"]) == (1, "unavailable")


async def test_a_container_in_which_nothing_listens_is_not_healthy() -> None:
    code, printed = await check_health(1)
    assert code == 1
    assert printed.startswith("http://127.0.0.1:1/health does not answer: ")
    assert printed.count("\n") == 1


# ---- many who ask
async def test_however_many_ask_a_service_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = []

    async def look() -> None:
        questions.append("?")
        await asyncio.sleep(0)
        raise ServiceUnavailable(f"Question {len(questions)} failed.")

    monkeypatch.setattr(health, "FRESH_FOR", 0.1)
    check = health.Check(look)
    at_once = await asyncio.gather(*[check.problem() for _ in range(20)])
    assert set(at_once) == {"Question 1 failed."}
    assert await check.problem() == "Question 1 failed."
    await asyncio.sleep(0.11)
    assert await check.problem() == "Question 2 failed."


async def test_who_leaves_does_not_take_the_answer_along() -> None:
    may_answer = asyncio.Event()

    async def look() -> None:
        await may_answer.wait()

    check = health.Check(look)
    leaving, staying = (asyncio.create_task(check.problem()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    may_answer.set()
    assert await staying is None


async def test_what_stays_wrong_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = ["Full.", "Full.", None, "Full.", "Gone."]

    async def look() -> None:
        if reason := reasons.pop(0):
            raise ServiceUnavailable(reason)

    monkeypatch.setattr(health, "FRESH_FOR", 0)
    check = health.Check(look)
    found = [await check.problem() for _ in range(5)]
    assert found == ["Full.", "Full.", None, "Full.", "Gone."]
    assert [message.rpartition(" ")[2] for message in caplog.messages] == ["Full.", "Full.", "Gone."]
