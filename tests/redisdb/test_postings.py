"""Postings: which objects have a term, kept by the commit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.indexes import Postings
from nanobanana.redisdb.keys import owner_key
from nanobanana.redisdb.unit_of_work import UnitOfWork, unit_of_work
from tests.redisdb.support import everything_stored
from tests.redisdb.toys import make_shelf

WORDS = Postings("words", "word:")


async def stored(redis: Redis, owner: str) -> dict[str, list[str]]:
    """The postings, by term; the list of terms agrees with them."""
    prefix = WORDS.key(owner)
    found = {
        key.removeprefix(prefix): await redis.zrange(key, 0, -1, withscores=True)
        for key in await redis.keys(f"{prefix}*")
    }
    assert await redis.zrange(WORDS.terms_key(owner), 0, -1, withscores=True) == [
        (term, 0) for term in sorted(found, key=str.encode)
    ]
    assert {score for entries in found.values() for _, score in entries} <= {0}
    return {term: [member for member, _ in entries] for term, entries in found.items()}


async def test_a_term_lists_the_objects_that_have_it(redis: Redis, owner: str) -> None:
    first, second = new_id(), new_id()
    async with unit_of_work(owner) as work:
        WORDS.add(work, second, ["red", "cat"])
        WORDS.add(work, first, ["red", "猫"])
    assert await stored(redis, owner) == {"red": [first, second], "cat": [second], "猫": [first]}
    assert await redis.exists(owner_key(owner, "word:red")) == 1


async def test_a_term_that_nothing_has_is_not_listed(redis: Redis, owner: str) -> None:
    async with unit_of_work(owner) as work:
        WORDS.add(work, "A", ["red", "cat"])
        WORDS.add(work, "B", ["red"])
    async with unit_of_work(owner) as work:
        WORDS.remove(work, "A", ["red", "cat", "never there"])
        WORDS.remove(work, "B", [])
    assert await stored(redis, owner) == {"red": ["B"]}


@pytest.mark.parametrize("is_added_last", [True, False])
async def test_of_two_steps_in_one_commit_the_later_one_holds(
    redis: Redis, owner: str, is_added_last: bool
) -> None:
    async with unit_of_work(owner) as work:
        WORDS.add(work, "A", ["red"])
    async with unit_of_work(owner) as work:
        for add in (not is_added_last, is_added_last):
            (WORDS.add if add else WORDS.remove)(work, "A", ["red", "new"])
    assert await stored(redis, owner) == ({"red": ["A"], "new": ["A"]} if is_added_last else {})


async def test_what_is_left_out_changes_no_term(redis: Redis, owner: str) -> None:
    shelf = await make_shelf(owner, title="red")
    async with unit_of_work(owner) as work:
        with work.when(shelf, "title", "blue"):
            WORDS.add(work, shelf.id, ["blue"])
        with work.when(shelf, "title", "red"):
            WORDS.add(work, shelf.id, ["red"])
    assert await stored(redis, owner) == {"red": [shelf.id]}


async def test_more_terms_than_one_command_takes(redis: Redis, owner: str) -> None:
    terms = [f"word{number}" for number in range(5000)]
    async with unit_of_work(owner) as work:
        WORDS.add(work, "A", terms)
    assert await stored(redis, owner) == {term: ["A"] for term in terms}
    async with unit_of_work(owner) as work:
        WORDS.remove(work, "A", terms)
    assert await stored(redis, owner) == {}


@pytest.mark.parametrize("name", ["words", "word:cat"])
@pytest.mark.parametrize("step", [Postings.add, Postings.remove])
async def test_a_key_of_another_type_stops_everything(redis: Redis, owner: str, name: str, step) -> None:
    await redis.set(owner_key(owner, name), "no sorted set")
    before = await everything_stored()
    with pytest.raises(ResponseError):
        async with unit_of_work(owner) as work:
            step(WORDS, work, "A", ["red", "cat"])
    assert await everything_stored() == before


async def test_terms_of_a_refused_commit_are_not_written(redis: Redis, owner: str) -> None:
    work = UnitOfWork(owner)
    work.expect_exists(owner_key(owner, "nothing"))
    WORDS.add(work, "A", ["red"])
    with pytest.raises(CommitRefused):
        await work.commit()
    assert await stored(redis, owner) == {}


STEPS = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from("ABC"), st.lists(st.sampled_from(["red", "cat", "猫"]), unique=True)
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(commits=st.lists(STEPS, max_size=4))
async def test_they_are_what_a_dictionary_of_sets_would_be(commits: list) -> None:
    owner, expected = new_id(), {}
    for steps in commits:
        async with unit_of_work(owner) as work:
            for is_added, member, terms in steps:
                apply(expected, work, is_added, member, terms)
    found = await stored(get_client(), owner)
    assert {term: set(members) for term, members in found.items()} == {
        term: members for term, members in expected.items() if members
    }


def apply(expected: dict, work: UnitOfWork, is_added: bool, member: str, terms: list[str]) -> None:
    (WORDS.add if is_added else WORDS.remove)(work, member, terms)
    for term in terms:
        members = expected.setdefault(term, set())
        members.add(member) if is_added else members.discard(member)
