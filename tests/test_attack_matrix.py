"""Every operation of the schema, attacked: without a token, with a bad one, and by somebody else."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from accounts.tokens import AccessToken
from nanobanana.redisdb.ids import is_id
from tests.support.contract import checked_client
from tests.support.operations import Operation, ids_of, operations
from tests.support.people import Device, Person, make_person
from tests.support.web_server import WebServer

AVATAR = "https://example.com/alice-of-the-matrix.png"
NAME = "Alice of the matrix"
OPERATIONS = operations()
GUARDED = [operation for operation in OPERATIONS if operation.wants_token]
OPEN = [operation for operation in OPERATIONS if not operation.wants_token]
WITH_IDS = [operation for operation in GUARDED if operation.ids]
WITHOUT_IDS = [operation for operation in GUARDED if not operation.ids]
REFUSALS_OF_OPEN = {400, 401, 403, 404, 409}


@dataclass
class Stage:
    """Alice with one thing of each kind, tokens of hers that are no good, and what nobody else may read."""

    alice: Person
    ids: dict[str, str]
    bad_tokens: dict[str, str | None]
    secrets: set[str]
    before: Any

    def assert_nothing_leaks(self, answer: httpx.Response, what: str) -> None:
        said = answer.text + repr(answer.headers)
        assert answer.status_code < 500, f"{what}: {answer.text}"
        assert [secret for secret in self.secrets if secret in said] == [], what


@pytest.fixture(scope="module")
async def stage(server: WebServer) -> AsyncIterator[Stage]:
    async with make_person(server, "Alice") as alice:
        renamed = await alice.put("/api/auth/me", {"username": NAME, "avatar": AVATAR})
        assert renamed.is_success
        ids = await ids_of(alice)
        yield Stage(
            alice=alice,
            ids=ids,
            bad_tokens=await bad_tokens_of(alice),
            secrets={ids["uploadId"], *secrets_of(await things_of(alice, ids))},
            before=await things_of(alice, ids),
        )


@pytest.fixture
async def mallory(server: WebServer) -> AsyncIterator[Person]:
    async with make_person(server, "Mallory") as person:
        yield person


async def bad_tokens_of(alice: Person) -> dict[str, str | None]:
    expired = AccessToken(alice.laptop.token)  # type: ignore[arg-type]
    expired.set_exp(lifetime=-timedelta(seconds=1))
    return {
        "none": None,
        "garbage": "garbage",
        "expired": str(expired),
        "refresh": alice.laptop.refresh_token,
        "revoked": (await revoked_device(alice)).token,
    }


async def revoked_device(alice: Person) -> Device:
    body = {"email": alice.email, "password": alice.password}
    tokens = (await alice.post("/api/auth/login", body)).json()
    device = Device(alice.laptop.server, "tablet", alice.id, tokens["token"], tokens["refreshToken"])
    assert (await device.post("/api/auth/logout")).status_code == 200
    await device.close()
    return device


async def things_of(alice: Person, ids: dict[str, str]) -> dict[str, Any]:
    """What Alice has, as she reads it."""
    paths = {
        "user": "/api/auth/me",
        "session": f"/api/sessions/{ids['sessionId']}",
        "message": f"/api/messages/{ids['messageId']}",
        "image": f"/api/images/{ids['imageId']}",
        "devices": "/api/auth/devices",
        "stats": f"/api/sessions/{ids['sessionId']}/stats",
    }
    return {name: (await alice.get(path)).json() for name, path in paths.items()}


def secrets_of(content: Any) -> Iterator[str]:
    """The texts that are nobody else's: ids, addresses, names, and what Alice wrote."""
    if isinstance(content, dict):
        for inner in content.values():
            yield from secrets_of(inner)
    elif isinstance(content, list):
        for inner in content:
            yield from secrets_of(inner)
    elif isinstance(content, str) and (is_id(content) or "@" in content or " " in content or "//" in content):
        yield content


async def ask(operation: Operation, stage: Stage, ids: dict[str, str], token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with checked_client(stage.alice.laptop.server.url) as client:
        return await client.request(**operation.request(ids), headers=headers)


def name_of(operation: Operation) -> str:
    return operation.name


@pytest.mark.parametrize("operation", GUARDED, ids=name_of)
async def test_no_token_but_a_good_one_opens_it(operation: Operation, stage: Stage) -> None:
    for kind, token in stage.bad_tokens.items():
        answer = await ask(operation, stage, stage.ids, token)
        assert answer.status_code == 401, kind
        stage.assert_nothing_leaks(answer, kind)
    assert await things_of(stage.alice, stage.ids) == stage.before


@pytest.mark.parametrize("operation", OPEN, ids=name_of)
async def test_what_is_open_to_all_tells_nobody_of_alice(operation: Operation, stage: Stage) -> None:
    for kind, token in stage.bad_tokens.items():
        answer = await ask(operation, stage, stage.ids, token)
        assert answer.is_success or answer.status_code in REFUSALS_OF_OPEN, kind
        stage.assert_nothing_leaks(answer, kind)
    assert await things_of(stage.alice, stage.ids) == stage.before


@pytest.mark.parametrize("operation", WITH_IDS, ids=name_of)
async def test_the_ids_of_somebody_else_are_as_absent_as_none(
    operation: Operation, stage: Stage, mallory: Person
) -> None:
    own = await ids_of(mallory)
    for name in operation.ids:
        answer = await ask(operation, stage, {**own, name: stage.ids[name]}, mallory.laptop.token)
        assert answer.status_code == 404, f"{name}: {answer.text}"
        stage.assert_nothing_leaks(answer, name)
    assert await things_of(stage.alice, stage.ids) == stage.before


@pytest.mark.parametrize("operation", WITHOUT_IDS, ids=name_of)
async def test_what_takes_no_id_answers_with_one_s_own(
    operation: Operation, stage: Stage, mallory: Person
) -> None:
    answer = await ask(operation, stage, stage.ids, mallory.laptop.token)
    assert answer.is_success or answer.status_code in {400, 401}, answer.text
    stage.assert_nothing_leaks(answer, operation.name)
    assert await things_of(stage.alice, stage.ids) == stage.before


def test_the_matrix_knows_what_alice_must_not_lose(stage: Stage) -> None:
    alice = stage.alice
    texts = (alice.email, NAME, AVATAR, f"The message of {alice.id}", f"The params of {alice.id}")
    assert stage.secrets.issuperset({*texts, *stage.ids.values()})
