"""`GET /api/sync`: the log of the sockets, for clients without one."""

import asyncio
import time
from typing import Any

import httpx
import orjson
import pytest

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import doorbell_channel, events_key, log_key
from realtime.hub import get_hub
from realtime.poll import Poll
from tests.realtime.conftest import Client, eventually
from tests.support.people import Device, Person
from tests.support.redis_server import RunningRedis

SOON = 2  # seconds; a poll that waits for nothing takes longer
LONG = 20


async def poll(device: Device, since: str = "", wait: int = 0, **query: str) -> dict[str, Any]:
    answer = await ask(device, since, wait, **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Sync-Cursor"] == answer.json()["cursor"]
    return answer.json()


async def ask(device: Device, since: str = "", wait: int = 0, **query: str) -> httpx.Response:
    parameters = {"since": since, "wait": str(wait), **query}
    return await device.get("/api/sync", params=parameters)


def waiting() -> int:
    return sum(isinstance(listener, Poll) for listener in get_hub()._listeners())


async def until_waiting(count: int) -> None:
    async def is_so() -> bool:
        return waiting() == count

    await eventually(is_so)


def types_of(answer: dict[str, Any]) -> list[str]:
    return [event["type"] for event in answer["events"]]


async def test_without_since_it_is_the_present_position(alice: Person, session_id: str) -> None:
    assert await poll(alice.phone) == {
        "events": [],
        "cursor": await alice.position(),
        "resyncRequired": False,
    }


async def test_what_was_missed_comes_at_once_in_order_and_once(alice: Person, session_id: str) -> None:
    start = await alice.position()
    for number in range(3):
        await alice.make_message(session_id, f"Number {number}")
    began = time.monotonic()
    answer = await poll(alice.phone, start, wait=LONG)
    assert time.monotonic() - began < SOON
    assert types_of(answer) == ["message_created", "session_updated"] * 3
    assert answer["cursor"] == answer["events"][-1]["cursor"] == await alice.position()
    again = await poll(alice.phone, answer["cursor"])
    assert (again["events"], again["cursor"]) == ([], answer["cursor"])


async def test_its_events_are_the_very_frames_of_a_socket(alice: Person, session_id: str) -> None:
    start = (await alice.phone.listen(session_id))["cursor"]
    image = await alice.make_image(session_id)
    await alice.make_message(session_id, imageIds=[image["id"]])
    await alice.make_message(session_id, "漢" * 2000)
    answer = await poll(alice.laptop, start)
    assert [await alice.phone.next_frame() for _ in answer["events"]] == answer["events"]
    assert types_of(answer)[0] == "image_created"


async def test_it_waits_for_what_another_process_writes(
    alice: Person, tablet: Client, session_id: str
) -> None:
    request = asyncio.create_task(poll(alice.phone, await alice.position(), wait=LONG))
    await until_waiting(1)
    assert not request.done()
    await tablet.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    answer = await asyncio.wait_for(request, SOON)
    assert types_of(answer) == ["session_updated"]
    await until_waiting(0)


async def test_when_nothing_happens_it_answers_in_the_end(alice: Person) -> None:
    start, began = await alice.position(), time.monotonic()
    assert (await poll(alice.phone, start, wait=1)) == {
        "events": [],
        "cursor": start,
        "resyncRequired": False,
    }
    assert 0.9 < time.monotonic() - began < 3


async def test_a_poll_after_another_misses_nothing(alice: Person, tablet: Client, session_id: str) -> None:
    """As a client does it, while somebody writes all the time."""

    async def write() -> None:
        for number in range(20):
            await tablet.post(
                f"/api/sessions/{session_id}/messages", {"role": "user", "text": f"Number {number}"}
            )

    cursor = start = await alice.position()
    writing, heard = asyncio.create_task(write()), []
    while len(heard) < 40:
        answer = await poll(alice.phone, cursor, wait=5)
        heard += [event["cursor"] for event in answer["events"]]
        cursor = answer["cursor"]
    await writing
    first = Cursor.parse(start)
    assert heard == [str(Cursor(first.epoch, first.offset + number)) for number in range(1, 41)]


async def test_it_hears_of_every_session_or_of_those_it_names(alice: Person, session_id: str) -> None:
    other, start = (await alice.make_session())["id"], await alice.position()
    await alice.make_message(session_id)
    await alice.make_message(other)
    both = await poll(alice.phone, start)
    assert types_of(both) == ["message_created", "session_updated"] * 2
    one = await poll(alice.phone, start, sessionId=other)
    assert [event["sessionId"] for event in one["events"]] == [session_id, other, other]
    assert types_of(one) == ["session_updated", "message_created", "session_updated"]
    assert one["cursor"] == both["cursor"]
    assert await poll(alice.phone, start, sessionId=f"{session_id},{other}") == both


async def test_a_poll_for_one_session_sleeps_on_while_another_is_written_to(
    alice: Person, session_id: str
) -> None:
    other = (await alice.make_session())["id"]
    image = await alice.make_image(other)
    request = asyncio.create_task(poll(alice.phone, await alice.position(), LONG, sessionId=session_id))
    await until_waiting(1)
    await alice.delete(f"/api/images/{image['id']}")
    await alice.make_image(session_id)
    answer = await asyncio.wait_for(request, SOON)
    assert types_of(answer) == ["image_created"]


async def test_a_stranger_hears_nothing(alice: Person, mallory: Person, session_id: str) -> None:
    start = await mallory.position()
    await alice.make_message(session_id)
    assert (await poll(mallory.phone, start, sessionId=session_id))["events"] == []
    of_alice = await poll(mallory.phone, await alice.position())
    assert (of_alice["events"], of_alice["resyncRequired"]) == ([], True)
    assert of_alice["cursor"] == start


@pytest.mark.parametrize("since", ["abcdef:3", "{epoch}:999", ":0"])
async def test_a_position_of_no_log_of_ours_means_to_resync(alice: Person, since: str) -> None:
    head = await alice.position()
    began = time.monotonic()
    answer = await poll(alice.phone, since.format(epoch=head.partition(":")[0]), wait=LONG)
    assert answer == {"events": [], "cursor": head, "resyncRequired": True}
    assert time.monotonic() - began < SOON
    assert (await poll(alice.phone, head))["resyncRequired"] is False


async def test_behind_the_window_it_means_to_resync(alice: Person, session_id: str) -> None:
    start = await alice.position()
    for _ in range(5):
        await alice.make_message(session_id)
    await get_client().xtrim(events_key(alice.id), maxlen=2, approximate=False)
    assert await poll(alice.phone, start) == {
        "events": [],
        "cursor": await alice.position(),
        "resyncRequired": True,
    }


async def test_a_log_that_begins_anew_ends_the_wait(alice: Person, session_id: str) -> None:
    request = asyncio.create_task(poll(alice.phone, await alice.position(), wait=LONG))
    await until_waiting(1)
    await get_client().delete(log_key(alice.id), events_key(alice.id))
    await alice.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    answer = await asyncio.wait_for(request, SOON)
    assert answer == {"events": [], "cursor": await alice.position(), "resyncRequired": True}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "nonsense"}, "since"),
        ({"since": "abc:-1"}, "since"),
        ({"since": "abc:01"}, "since"),
        ({"wait": "-1"}, "wait"),
        ({"wait": "26"}, "wait"),
        ({"wait": "1.0"}, "wait"),
        ({"wait": "٣"}, "wait"),
        ({"wait": ""}, "wait"),
        ({"sessionId": "nonsense"}, "sessionId"),
        ({"sessionId": f"{new_id()},"}, "sessionId"),
        ({"sessionId": ",".join(new_id() for _ in range(101))}, "sessionId"),
    ],
)
async def test_a_bad_value_is_refused(alice: Person, query: dict[str, str], field: str) -> None:
    answer = await alice.phone.get("/api/sync", params=query)
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {field})


async def test_a_device_that_is_signed_out_meanwhile_is_told(alice: Person) -> None:
    request = asyncio.create_task(ask(alice.phone, await alice.position(), wait=LONG))
    await until_waiting(1)
    await alice.post("/api/auth/logout-all")
    answer = await asyncio.wait_for(request, SOON)
    assert (answer.status_code, answer.json()["error"]) == (401, "token_invalid")


async def test_a_client_that_leaves_is_forgotten(alice: Person) -> None:
    query = {"since": await alice.position(), "wait": str(LONG)}
    headers = {"Authorization": f"Bearer {alice.phone.token}"}
    async with httpx.AsyncClient(base_url=alice.phone.server.url) as http:
        request = asyncio.create_task(http.get("/api/sync", params=query, headers=headers))
        await until_waiting(1)
        request.cancel()
        await until_waiting(0)


async def test_so_many_may_wait_and_no_more(alice: Person, mallory: Person, settings: Any) -> None:
    settings.SOCKETS_PER_USER = 2
    start = await alice.position()
    requests = [asyncio.create_task(ask(alice.phone, start, wait=LONG)) for _ in range(2)]
    await until_waiting(2)
    refused = await ask(alice.laptop, start, wait=LONG)
    assert (refused.status_code, refused.json()["error"]) == (429, "too_many_requests")
    assert refused.headers["Retry-After"]
    assert (await ask(mallory.laptop, await mallory.position(), wait=0)).status_code == 200
    await alice.make_session()
    for request in requests:
        assert types_of((await request).json()) == ["session_created"]
    assert (await ask(alice.laptop, start)).status_code == 200


async def test_all_who_wait_share_one_subscription(alice: Person, session_id: str) -> None:
    await alice.laptop.listen(session_id)
    start = await alice.position()
    requests = [asyncio.create_task(poll(alice.phone, start, wait=LONG)) for _ in range(5)]
    await until_waiting(5)
    (_, count) = await get_client().execute_command("PUBSUB", "NUMSUB", doorbell_channel(alice.id))
    assert count == 1
    await alice.make_session()
    answers = await asyncio.gather(*requests)
    assert [types_of(answer) for answer in answers] == [["session_created"]] * 5
    assert orjson.dumps(answers[0]) == orjson.dumps(answers[4])


async def test_a_process_that_stops_answers_first(alice: Person) -> None:
    start = await alice.position()
    request = asyncio.create_task(poll(alice.phone, start, wait=LONG))
    await until_waiting(1)
    get_hub().end_polls()
    assert await asyncio.wait_for(request, SOON) == {"events": [], "cursor": start, "resyncRequired": False}


async def test_while_redis_is_away_it_is_503_and_who_waits_goes_on(
    alice: Person, session_id: str, redis_server: RunningRedis
) -> None:
    start = await alice.position()
    request = asyncio.create_task(poll(alice.phone, start, wait=LONG))
    await until_waiting(1)
    await asyncio.to_thread(redis_server.kill)
    refused = await ask(alice.laptop, start)
    await asyncio.to_thread(redis_server.restart)
    assert (refused.status_code, refused.json()["error"]) == (503, "service_unavailable")
    await alice.put(f"/api/sessions/{session_id}", {"title": "Cats"})
    assert types_of(await asyncio.wait_for(request, 15)) == ["session_updated"]
