"""A chat of Alice's, and Alice as the services know her."""

from typing import Any

import pytest

from accounts.models import User
from tests.support.people import Person


@pytest.fixture
async def session(alice: Person) -> dict[str, Any]:
    return await alice.make_session()


@pytest.fixture
def user(alice: Person) -> User:
    return User(alice.id, alice.id)
