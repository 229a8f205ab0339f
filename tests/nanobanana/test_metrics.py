"""GET /metrics, and what it says."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from websockets.exceptions import ConnectionClosed

from nanobanana import job_queue, metric_files
from nanobanana.errors import NotFound
from nanobanana.jobs import job
from nanobanana.pools import BoundedPool
from nanobanana.redisdb.ids import new_id
from tests.support.jobs import until_done, working
from tests.support.people import Person
from tests.support.redis_server import RunningRedis
from tests.support.scraping import Scrape, parse, scrape
from tests.support.server_process import PROJECT, served
from tests.support.web_server import WebServer

REQUESTS = "nanobanana_http_requests_total"
SECONDS = "nanobanana_http_request_seconds_count"


async def look(person: Person) -> Scrape:
    return await scrape(person.laptop.http)


# ---- requests
async def test_requests_are_counted_by_route_method_and_status(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    before = await look(alice)
    await alice.get(f"/api/sessions/{session_id}")
    await alice.get(f"/api/sessions/{new_id()}")
    await alice.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    after = await look(alice)
    for method, status in (("GET", "200"), ("GET", "404"), ("PUT", "200")):
        labels = {"route": "/api/sessions/:session_id", "method": method, "status": status}
        assert after.value(REQUESTS, **labels) == before.value(REQUESTS, **labels) + 1
    timed = {"route": "/api/sessions/:session_id", "method": "GET"}
    assert after.value(SECONDS, **timed) == before.value(SECONDS, **timed) + 2


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/sessions/x/y/z", "/%F0%9F%8D%8C", '/a"}b', "/*", "/%0A", "/x" * 500]
)
async def test_whatever_is_asked_for_labels_are_few(alice: Person, path: str) -> None:
    before = await look(alice)
    for method in ("GET", "POST", "PROPFIND", "TRACE"):
        await alice.laptop.http.request(method, path)
    after = await look(alice)
    assert after.labels_of(REQUESTS, "route") - before.labels_of(REQUESTS, "route") <= {"unmatched"}
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
    assert after.labels_of(REQUESTS, "method") <= known
    assert after.value(REQUESTS, route="unmatched") == before.value(REQUESTS, route="unmatched") + 4
    assert after.value(REQUESTS, method="other") == before.value(REQUESTS, method="other") + 2


async def test_every_call_has_a_route_of_its_own(alice: Person) -> None:
    await alice.get(f"/media/{alice.id}/{new_id()}/thumb")
    await alice.get("/health")
    routes = (await look(alice)).labels_of(REQUESTS, "route")
    assert {"/media/:user_id/:image_id/:variant", "/health"} <= routes
    assert not [route for route in routes if alice.id in route]


# ---- sockets
async def test_open_sockets_come_and_go(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    before = await look(alice)
    await alice.laptop.listen(session_id)
    await alice.phone.listen(session_id)
    open_ = await look(alice)
    assert open_.value("nanobanana_sockets_open") == before.value("nanobanana_sockets_open") + 2
    assert alice.phone.socket
    await alice.phone.socket.close(4999)
    await until_open(alice, open_.value("nanobanana_sockets_open") - 1)
    after = await look(alice)
    closed = "nanobanana_sockets_closed_total"
    assert after.value(closed, code="other") == before.value(closed, code="other") + 1
    assert "4999" not in after.labels_of(closed, "code")


async def test_a_socket_that_is_refused_is_counted_by_why(alice: Person, mallory: Person) -> None:
    session_id = (await alice.make_session())["id"]
    before = await look(alice)
    with pytest.raises(ConnectionClosed):
        await mallory.laptop.listen(session_id)
    after = await look(alice)
    name = "nanobanana_socket_handshakes_total"
    assert after.value(name, outcome="4404") == before.value(name, outcome="4404") + 1
    assert after.value("nanobanana_sockets_open") == before.value("nanobanana_sockets_open")


async def test_deliveries_and_returns_are_counted(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    cursor = (await alice.phone.listen(session_id))["cursor"]
    before = await look(alice)
    await alice.make_message(session_id)
    types = await alice.phone.heard_types(at_least=2)
    await alice.laptop.listen(session_id, since=cursor)
    await alice.laptop.listen(session_id, since=f"{cursor.split(':')[0]}x:1")
    after = await look(alice)
    assert after.value("nanobanana_deliveries_total") == before.value(
        "nanobanana_deliveries_total"
    ) + 2 * len(types)
    assert after.value("nanobanana_recoveries_total") == before.value("nanobanana_recoveries_total") + 1
    assert after.value("nanobanana_resyncs_total") == before.value("nanobanana_resyncs_total") + 1


async def until_open(person: Person, count: float) -> None:
    """The time limit of the test ends what never comes."""
    while (await look(person)).value("nanobanana_sockets_open") != count:
        pass


# ---- accounts, pictures, pools
async def test_sign_ins_are_counted_by_outcome(alice: Person) -> None:
    before = await look(alice)
    http = alice.laptop.http
    await http.post("/api/auth/login", json={"email": alice.email, "password": alice.password})
    await http.post("/api/auth/login", json={"email": alice.email, "password": "wrong, all wrong"})
    await http.post("/api/auth/refresh", json={"refreshToken": "nonsense"})
    body = {"email": alice.email, "username": "Alice", "password": alice.password}
    await http.post("/api/auth/register", json=body)
    after = await look(alice)
    for how, outcome in (
        ("password", "done"),
        ("password", "wrong_credentials"),
        ("refresh", "token_invalid"),
        ("registration", "email_taken"),
    ):
        labels = {"how": how, "outcome": outcome}
        name = "nanobanana_sign_ins_total"
        assert after.value(name, **labels) == before.value(name, **labels) + 1, labels


async def test_uploads_are_counted_by_type_and_outcome(alice: Person) -> None:
    session_id = (await alice.make_session())["id"]
    before = await look(alice)
    size = (await alice.make_image(session_id, type="generated"))["size"]
    await alice.upload(session_id, b"no picture")
    await alice.upload(session_id, b"no picture", type="one-of-mine")
    after = await look(alice)
    name = "nanobanana_uploads_total"
    refused = "unsupported_media_type"
    for type, outcome in (("generated", "done"), ("uploaded", refused), ("other", refused)):
        labels = {"type": type, "outcome": outcome}
        assert after.value(name, **labels) == before.value(name, **labels) + 1, labels
    assert after.labels_of(name, "type") <= {"uploaded", "generated", "other"}
    stored = "nanobanana_uploaded_bytes_total"
    assert after.value(stored) == before.value(stored) + size


async def test_pools_tell_of_waiting_working_and_refusing(alice: Person) -> None:
    pool = BoundedPool("of-a-test", threads=1, waiting=0)
    begun, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()

    running = asyncio.create_task(pool.run(work))
    await begun.wait()
    with pytest.raises(Exception, match="Too many"):
        await pool.run(work)
    go.set()
    await running
    seen = await look(alice)
    assert seen.value("nanobanana_pool_refusals_total", pool="of-a-test") == 1
    assert seen.value("nanobanana_pool_wait_seconds_count", pool="of-a-test") == 1
    assert seen.value("nanobanana_pool_work_seconds_count", pool="of-a-test") == 1


# ---- services
async def test_it_says_how_redis_is(alice: Person) -> None:
    seen = await look(alice)
    assert seen.value("nanobanana_service_up", service="redis") == 1
    assert seen.value("nanobanana_service_up", service="storage") == 1
    assert seen.value("nanobanana_redis_is_master") == 1
    assert seen.value("nanobanana_redis_keeps_writes") == 1
    assert seen.value("nanobanana_redis_memory_bytes") > 100_000
    assert seen.value("nanobanana_redis_ping_seconds_count") > 0


async def test_without_redis_it_still_says_what_it_knows(alice: Person, redis_server: RunningRedis) -> None:
    redis_server.kill()
    seen = await look(alice)
    redis_server.restart()
    assert seen.value("nanobanana_service_up", service="redis") == 0
    assert seen.value("nanobanana_service_up", service="storage") == 1
    assert "nanobanana_redis_memory_bytes" not in seen.names
    assert seen.value(REQUESTS) > 0
    assert (await look(alice)).value("nanobanana_service_up", service="redis") == 1


async def test_each_process_says_how_it_is(alice: Person) -> None:
    seen = await look(alice)
    assert seen.value("nanobanana_workers") == 1
    assert seen.value("nanobanana_worker_memory_bytes") > 10_000_000
    assert seen.value("nanobanana_worker_starts_total") >= 1


# ---- the document
async def test_the_document_explains_every_metric_and_no_other(alice: Person) -> None:
    page = (await alice.laptop.http.get("/metrics")).text
    given = set(re.findall(r"^# TYPE (\w+)", page, flags=re.MULTILINE))
    document = (PROJECT / "docs/metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(nanobanana_\w+)`", document, flags=re.MULTILINE)) == given
    for name, labels in re.findall(r"^\| `(nanobanana_\w+)` \| ([^|]*)\|", document, flags=re.MULTILINE):
        seen = set(
            re.findall(r'(\w+)="', "".join(re.findall(rf"^{name}\w*{{(.*)}}", page, flags=re.MULTILINE)))
        )
        assert seen - {"le"} <= set(re.findall(r"`(\w+)`", labels)), name


# ---- who may see it
async def test_with_a_token_only_its_holder_sees_it(alice: Person, settings) -> None:
    settings.METRICS_TOKEN = "of Prometheus"
    http = alice.laptop.http
    for other in ("", "Bearer wrong", "of Prometheus", f"Bearer {alice.laptop.token}", "Bearer \xff"):
        answer = await http.get("/metrics", headers={"Authorization": other.encode("latin-1")})
        assert answer.status_code == 401, other
        assert "nanobanana_" not in answer.text
    answer = await http.get("/metrics", headers={"Authorization": "Bearer of Prometheus"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_in_production_without_a_token_nobody_does(alice: Person, settings) -> None:
    settings.IS_PRODUCTION = True
    nowhere = (await alice.get("/nowhere")).json()
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer None"}):
        answer = await alice.laptop.http.get("/metrics", headers=headers)
        assert answer.status_code == 404
        assert answer.json() | {"requestId": ""} == nowhere | {"requestId": ""}


# ---- several processes
COUNT = """
import sys
from nanobanana import metrics
metrics.RESYNCS.inc(int(sys.argv[1]))
metrics.SOCKETS.inc(int(sys.argv[1]))
metrics.REQUEST_SECONDS.labels("GET", "/health").observe(0.002)
print("counted", flush=True)
sys.stdin.read()
"""


class Counting:
    """A process that counted, and lives until it is killed."""

    def __init__(self, amount: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COUNT, str(amount)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_it_counted(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "counted\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(metric_files.VARIABLE, "")  # so that it is unset afterwards
    metric_files.begin(tmp_path / "metrics")
    return tmp_path / "metrics"


def collected(directory: Path) -> Scrape:
    registry = CollectorRegistry()
    metric_files.collect_from(directory, registry)
    return parse(generate_latest(registry).decode())


def test_what_processes_counted_is_added_up_and_only_the_living_have_sockets(directory: Path) -> None:
    processes = [Counting(1), Counting(10), Counting(100)]
    for process in processes:
        process.wait_until_it_counted()
    seen = collected(directory)
    assert seen.value("nanobanana_resyncs_total") == 111
    assert seen.value("nanobanana_sockets_open") == 111
    assert seen.value(SECONDS, route="/health") == 3

    processes[1].kill()
    seen = collected(directory)
    assert seen.value("nanobanana_resyncs_total") == 111
    assert seen.value("nanobanana_sockets_open") == 101

    successor = Counting(1000)
    successor.wait_until_it_counted()
    seen = collected(directory)
    assert seen.value("nanobanana_resyncs_total") == 1111
    assert seen.value("nanobanana_sockets_open") == 1101
    for process in (processes[0], processes[2], successor):
        process.kill()


def test_the_disk_keeps_room_for_what_will_be_counted(directory: Path) -> None:
    """On a full one, a write to what is mapped would end the process."""
    process = Counting(1)
    process.wait_until_it_counted()
    process.kill()
    sizes = [path.stat().st_blocks * 512 for path in directory.glob("*.db")]
    assert min(sizes) >= metric_files.SIZE
    assert len(sizes) == len(metric_files.KINDS)


def test_processes_that_die_and_come_leave_no_more_files(directory: Path) -> None:
    for _ in range(3):
        process = Counting(1)
        process.wait_until_it_counted()
        files = sorted(path.name for path in directory.iterdir())
        process.kill()
    assert files == ["counter_0.db", "gauge_livesum_0.db", "histogram_0.db", "slot0.lock"]
    assert collected(directory).value("nanobanana_resyncs_total") == 3


def test_a_worker_may_be_there_before_its_server(directory: Path) -> None:
    directory.rmdir()
    process = Counting(5)
    process.wait_until_it_counted()
    metric_files.begin(directory)
    assert collected(directory).value("nanobanana_resyncs_total") == 5
    process.kill()


def test_a_server_begins_at_zero_and_leaves_others_their_counts(directory: Path) -> None:
    processes = [Counting(1), Counting(10)]
    for process in processes:
        process.wait_until_it_counted()
    processes[0].kill()
    metric_files.begin(directory)
    seen = collected(directory)
    assert seen.value("nanobanana_resyncs_total") == seen.value("nanobanana_sockets_open") == 10
    processes[1].kill()
    metric_files.begin(directory)
    assert collected(directory).names == set()


@pytest.mark.usefixtures("redis_server")
def test_a_server_of_several_processes_gives_one_page(tmp_path: Path) -> None:
    with served(tmp_path / "logs", workers=2, METRICS_TOKEN="t", JOB_WORKERS="0") as server:
        for _ in range(20):  # each on another connection, perhaps to another process
            httpx.get(f"{server.url}/health/live")
        seen = scrape_when_it_answers(server)
    assert seen.value(REQUESTS, route="/health/live") == 20
    assert seen.value("nanobanana_workers") == 2


@pytest.mark.long
@pytest.mark.usefixtures("redis_server")
def test_a_killed_worker_s_successor_counts_on(tmp_path: Path) -> None:
    with served(tmp_path / "logs", workers=2, METRICS_TOKEN="t", JOB_WORKERS="0") as server:
        for killed in range(1, 11):
            for _ in range(20):
                httpx.get(f"{server.url}/health/live")
            one_worker_of_serve().kill()
            seen = scrape_after_starts(server, 2 + killed)
            assert seen.value(REQUESTS, route="/health/live") == 20 * killed


def scrape_after_starts(server: WebServer, count: int) -> Scrape:
    """When so many workers were started, and two run; the time limit of the test ends what never comes."""
    while True:
        seen = scrape_when_it_answers(server)
        if seen.value("nanobanana_worker_starts_total") >= count and seen.value("nanobanana_workers") == 2:
            return seen
        time.sleep(0.05)


def one_worker_of_serve() -> psutil.Process:
    [serving] = [child for child in psutil.Process().children() if "serve" in child.cmdline()]
    return next(child for child in serving.children() if "nanobanana.worker" in child.cmdline())


def scrape_when_it_answers(server: WebServer) -> Scrape:
    while True:
        try:
            answer = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer t"})
            return parse(answer.text)
        except httpx.TransportError:  # the connection was the killed one's
            time.sleep(0.02)


# ---- jobs
async def test_jobs_are_counted_by_state(alice: Person) -> None:
    @job("wait for ever")
    async def wait() -> None: ...

    await wait.enqueue()
    after = await look(alice)
    assert after.value("nanobanana_jobs", state="waiting") == (await job_queue.figures())["waiting"] > 0
    assert after.value("nanobanana_jobs", state="failed") == (await job_queue.figures())["failed"]
    assert await job_queue.drop("wait for ever")


async def test_tries_are_counted_by_outcome_and_timed(alice: Person) -> None:
    @job("note", retries=0)
    async def note(*, fails: bool) -> None:
        if fails:
            raise NotFound

    async with working(note):
        await note.enqueue(fails=True)
        await note.enqueue(fails=False)
        await until_done()
    after = await look(alice)
    for outcome in ("done", "not_found"):
        assert after.value("nanobanana_job_runs_total", name="note", outcome=outcome) == 1
    assert after.value("nanobanana_job_seconds_count", name="note") == 2
