"""Every operation that takes JSON, given what no client of good will sends: 4xx, and nothing is changed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from nanobanana import strict_json
from tests.support.operations import Operation, ids_of, operations
from tests.support.people import Person, make_person
from tests.support.web_server import WebServer

OPERATIONS = [operation for operation in operations() if operation.media_type == "application/json"]
JSON = "application/json"
HUGE_NUMBERS = (b"1" * 40, b"9" * 5000, b"18446744073709551616", b"-9223372036854775809", b"1e999")
NO_JSON = (
    b"{",
    b"\x00",
    b"{'a': 1}",
    b'{"a": NaN}',
    b'{"a": "\\ud800"}',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
)
NO_OBJECTS = (b"[]", b'"text"', b"7", b"null", b"true")
NO_TEXTS = (b"\x00", b"\\ud800", b"\xed\xa0\x80", b"\xff")
WRONG_TYPES = ("text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded")


def name_of(operation: Operation) -> str:
    return operation.name


@dataclass
class Owner:
    """Alice, with the ids of her things."""

    person: Person
    ids: dict[str, str]


@pytest.fixture(scope="module")
async def owner(server: WebServer) -> AsyncIterator[Owner]:
    async with make_person(server, "Alice") as person:
        yield Owner(person, await ids_of(person))


def hostile_bodies(operation: Operation, ids: dict[str, str]) -> Iterator[bytes]:
    good = orjson.dumps(operation.request(ids)["json"])
    yield from NO_JSON
    yield from NO_OBJECTS
    yield good[:-1] + b"," + good[1:]  # every key twice
    yield good[:-1] + b',"x":{"a":1,"a":2}}'
    yield from (good[:-1] + b',"x":' + number + b"}" for number in HUGE_NUMBERS)
    yield good[:-1] + b',"x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    yield from (good[:-1] + b',"x":"' + text + b'"}' for text in NO_TEXTS)
    yield good + good
    yield good[:-1] + b',"x":"' + b"x" * 1_100_000 + b'"}'


async def send(owner: Owner, operation: Operation, body: bytes, content_type: str = JSON) -> tuple[int, str]:
    request = {**operation.request(owner.ids), "json": None, "content": body}
    answer = await owner.person.laptop.request(
        request.pop("method"), request.pop("url"), headers={"Content-Type": content_type}, **request
    )
    return answer.status_code, answer.text


async def what_is_there(alice: Person) -> list[Any]:
    paths = ("/api/auth/me", "/api/sessions", "/api/images/user/all", "/api/auth/devices")
    return [(await alice.get(path)).json() for path in paths]


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_a_hostile_body_is_refused_and_changes_nothing(operation: Operation, owner: Owner) -> None:
    before = await what_is_there(owner.person)
    for body in hostile_bodies(operation, owner.ids):
        status, text = await send(owner, operation, body)
        assert 400 <= status < 500, f"{body[:80]!r}: {status} {text}"
    assert await what_is_there(owner.person) == before


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_a_wrong_content_type_is_refused(operation: Operation, owner: Owner) -> None:
    good = orjson.dumps(operation.request(owner.ids)["json"])
    for content_type in WRONG_TYPES:
        status, text = await send(owner, operation, good, content_type)
        assert status == 415, f"{content_type}: {text}"


@pytest.mark.parametrize("operation", operations(), ids=name_of)
async def test_a_head_of_a_megabyte_is_refused(operation: Operation, owner: Owner) -> None:
    request = operation.request(owner.ids)
    address = owner.person.laptop.server
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
    writer.write(f"{operation.method.upper()} {request['url']} HTTP/1.1\r\nHost: x\r\nX: ".encode())
    with suppress(ConnectionError):  # the server does not read to the end
        writer.write(b"x" * 1024 * 1024)
        await writer.drain()
    assert (await reader.read(12)) == b"HTTP/1.1 431"
    writer.close()


@pytest.mark.parametrize("nul", [{"a": "\0"}, {"\0": "a"}, {"a": ["b", {"c": "\0d"}]}])
async def test_params_have_no_nul(alice: Person, nul: dict[str, Any]) -> None:
    session = await alice.make_session()
    body = {"role": "user", "text": "Hello", "params": nul}
    answer = await alice.post(f"/api/sessions/{session['id']}/messages", body)
    assert (answer.status_code, answer.json()["details"].keys()) == (400, {"params"})


@pytest.mark.parametrize("text", [r"\u0000", "\\", r"\\u0000", "{", "a: b", '"a":', "🍌"])
async def test_what_only_looks_hostile_is_kept(alice: Person, text: str) -> None:
    session = await alice.make_session()
    params = {text: text, "b": {"a": 2**63, "c": -(2**63)}}
    message = await alice.make_message(session["id"], text, params=params)
    assert (message["text"], message["params"]) == (text, params)


@pytest.mark.parametrize(
    "body", [b'{"a":"1","a":"2"}', b'{"a":"1","\\u0061":"2"}', b'{"a":"b:","a":"c"}', b'[{"a":1,"a":1}]']
)
def test_a_key_twice_is_seen_however_it_is_written(body: bytes) -> None:
    with pytest.raises(ValueError, match="a key twice"):
        strict_json.loads(body)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"a":"b"}', b'{"a":"b:c","d":1.5}', b"18446744073709551615"]
)
def test_strict_json_reads_what_json_says(body: bytes) -> None:
    assert strict_json.loads(body) == orjson.loads(body)
