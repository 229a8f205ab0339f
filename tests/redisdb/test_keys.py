"""Everything of an owner is in one slot, and its key says whose it is."""

import pytest
from redis.crc import key_slot

from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.keys import (
    doorbell_channel,
    events_key,
    global_key,
    log_key,
    operation_key,
    owner_key,
    split_owner_key,
)
from tests.redisdb.toys import Box


def test_a_key_says_whose_it_is(owner: str) -> None:
    box = Box(owner, new_id())
    assert box.key == f"nb:{{u:{owner}}}:box:{box.id}"
    assert split_owner_key(box.key) == (owner, f"box:{box.id}")
    assert global_key("email", "a@example.org") == "nb:email:a@example.org"


def test_all_keys_of_an_owner_are_in_one_slot(owner: str) -> None:
    keys = [
        log_key(owner),
        events_key(owner),
        operation_key(owner, "client:{u:other}:}{"),
        doorbell_channel(owner),
        Box(owner, new_id()).key,
        Box.indexes[0].key(owner, shelf_id="{else}"),
        owner_key(owner, "unused-boxes"),
    ]
    assert len({key_slot(key.encode()) for key in keys}) == 1
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "key", ["", "nb", "nb:email:a", "nb:{u:}:box:1", "nb:{u:someone}:box:1", "{u:x}:box"]
)
def test_a_key_of_nobody_is_not_split(key: str) -> None:
    with pytest.raises(ValueError, match="not the key of an owner"):
        split_owner_key(key)


def test_an_owner_is_not_taken_from_the_middle_of_a_key(owner: str) -> None:
    with pytest.raises(ValueError, match="not the key of an owner"):
        split_owner_key(f"xnb:{{u:{owner}}}:box:{new_id()}")
