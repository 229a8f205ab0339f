"""Searching as Alice does."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.people import Person

Find = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def find(alice: Person) -> Find:
    """The texts of the messages and the titles of the sessions found, in their order."""

    async def find(q: str, **query: Any) -> list[str]:
        answer = await alice.phone.get("/api/search", params={"q": q, **query})
        assert answer.status_code == 200, answer.text
        return [said(result) for result in answer.json()["results"]]

    return find


def said(result: dict[str, Any]) -> str:
    return result["message"]["text"] if result["type"] == "message" else result["session"]["title"]
