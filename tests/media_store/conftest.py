"""A chat of Alice's to put pictures in."""

from typing import Any

import pytest

from tests.support.people import Person


@pytest.fixture
async def session(alice: Person) -> dict[str, Any]:
    return await alice.make_session()
