"""Frames that hypothesis makes up: each has a documented answer, nothing is logged, no neighbour notices.

`FRAMES=10000` makes as many, and other ones each time; here they are few and always the same.
"""

import logging
import os
from collections import Counter
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanobanana.redisdb.ids import new_id
from realtime import consumers
from realtime.commands import COMMANDS
from tests.realtime.test_documentation import PAGE
from tests.support.people import Device, Person

FRAMES = int(os.environ.get("FRAMES", "500"))
BATCH, LAST = 10, '{"type":"ping"}'
CONFIRMATIONS = {
    "join_session": "joined_session",
    "leave_session": "left_session",
    "authenticate": "authenticated",
    "ping": "pong",
}
# The codes of `error` frames that docs/websocket.md promises, but for those of outages and spent budgets.
CODES = {"malformed_body", "invalid_request", "validation_failed", "not_found", "conflict"} | {
    "token_invalid",
    "forbidden",
}
OWN_SESSION, OTHER_SESSION, FOREIGN_SESSION = "{own session}", "{other session}", "{foreign session}"
OWN_TOKEN, FOREIGN_TOKEN = "{own token}", "{foreign token}"

text = st.text(st.characters(codec="utf-8"), max_size=40)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
session_ids = st.sampled_from(
    [OWN_SESSION, OTHER_SESSION, FOREIGN_SESSION, "", "\x00", "a" * 65]
) | st.builds(new_id)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "sessionId": session_ids | values,
        "isTyping": st.booleans() | values,
        "token": st.sampled_from([OWN_TOKEN, FOREIGN_TOKEN, "a.b.c"]) | text,
    },
)
commands = st.fixed_dictionaries({"type": st.sampled_from([*COMMANDS])}, optional={"payload": payloads})
others = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from([*COMMANDS, "connected"]) | values, "payload": values}
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A command of which a piece was replaced."""
    whole = orjson.dumps(draw(commands)).decode()
    first, last = sorted(draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    return whole[:first] + draw(text) + whole[last:]


frames = (
    (commands | others | values).map(lambda frame: orjson.dumps(frame).decode())
    | damaged()
    | text
    | st.binary(max_size=100)
)


@pytest.fixture
async def names(alice: Person, mallory: Person, session_id: str) -> dict[str, str]:
    """What the generated frames mean by their names, for there is nothing of it when they are made up."""
    return {
        OWN_SESSION: session_id,
        OTHER_SESSION: (await alice.make_session())["id"],
        FOREIGN_SESSION: (await mallory.make_session())["id"],
        OWN_TOKEN: alice.phone.token,
        FOREIGN_TOKEN: mallory.phone.token,
    }


@pytest.mark.stress
@given(batch=st.lists(frames, min_size=BATCH, max_size=BATCH))
@settings(
    max_examples=FRAMES // BATCH,
    deadline=None,
    derandomize="FRAMES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
async def test_each_is_answered_as_documented(
    alice: Person,
    mallory: Person,
    names: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    batch: list[str | bytes],
) -> None:
    monkeypatch.setattr(consumers, "FRAMES_A_SECOND", 1_000_000)
    monkeypatch.setattr(consumers, "PING_INTERVAL", 3600)
    await all_listen(alice, mallory, names)
    meant = [with_names(frame, names) for frame in batch]
    assert_documented(await answers_to(alice.phone, meant), meant)
    assert {heard["type"] for heard in await alice.laptop.heard()} <= {"user_typing"}
    assert await mallory.phone.heard() == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    caplog.clear()


async def all_listen(alice: Person, mallory: Person, names: dict[str, str]) -> None:
    """Once: one set of people serves all the examples."""
    if alice.phone.socket is None:
        await alice.phone.listen(names[OWN_SESSION])
        await alice.laptop.listen(names[OWN_SESSION])
        await mallory.phone.listen(names[FOREIGN_SESSION])


def with_names(frame: str | bytes, names: dict[str, str]) -> str | bytes:
    for name, meant in names.items():
        frame = frame.replace(name, meant) if isinstance(frame, str) else frame
    return frame


async def answers_to(device: Device, batch: list[str | bytes]) -> list[dict[str, Any]]:
    """What is said to the frames, all sent together."""
    assert device.socket
    for frame in [*batch, LAST]:
        await device.socket.send(frame)
    answers: list[dict[str, Any]] = []
    while [answer["type"] for answer in answers].count("pong") <= types_of(batch)["ping"]:
        answers.append(await device.next_frame())
    return answers[:-1]


def types_of(batch: list[str | bytes]) -> Counter[str]:
    """How many frames there are of each type, as far as they have one."""
    types = Counter[str]()
    for frame in batch:
        with suppress(orjson.JSONDecodeError, TypeError, KeyError):
            types[orjson.loads(frame)["type"] if isinstance(frame, str) else ""] += 1
    return types


def assert_documented(answers: list[dict[str, Any]], batch: list[str | bytes]) -> None:
    assert len(answers) <= len(batch)
    sent, confirmed = types_of(batch), Counter(answer["type"] for answer in answers)
    errors = [answer for answer in answers if answer["type"] == "error"]
    assert confirmed.keys() <= {"error", *CONFIRMATIONS.values()}, batch
    assert all(confirmed[answer] <= sent[command] for command, answer in CONFIRMATIONS.items()), batch
    assert confirmed["pong"] == sent["ping"]
    assert {error["code"] for error in errors} <= CODES, batch
    for error in errors:
        assert error["message"]
        assert error.keys() <= {"type", "code", "message", "details"}
        assert bool(error.get("details")) == (error["code"] == "validation_failed"), error


def test_every_code_stands_in_the_document() -> None:
    section = PAGE.partition("A frame that cannot be served")[2].partition("## Events")[0]
    assert [code for code in CODES if f"`{code}`" not in section] == []
