"""GET /health"""

from datetime import datetime
from pathlib import Path

import pytest

from media_store.storage import LocalStorage
from nanobanana import views
from tests.support.people import Person
from tests.support.redis_server import RunningRedis


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


async def test_without_storage_it_says_so(
    alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "media"
    in_the_way.write_text("a file where a directory has to be")
    monkeypatch.setattr(views, "get_storage", lambda: LocalStorage(in_the_way))
    answer = await alice.laptop.http.get("/health")
    assert answer.status_code == 503
    assert answer.json()["services"] == {"redis": "ok", "storage": "unavailable"}
    assert str(tmp_path) not in answer.text
