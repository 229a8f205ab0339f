"""How keys are named. Everything of an owner carries the hash tag `{u:<ownerId>}`, and so lives in one slot.

`docs/redis-keys.md` has the table of every key; a test compares it with the models.
"""

from nanobanana.redisdb.ids import is_id

PREFIX = "nb"


def owner_key(owner_id: str, *parts: str) -> str:
    """`nb:{u:<ownerId>}:<part>:<part>…`"""
    return f"{PREFIX}:{{u:{owner_id}}}:{':'.join(parts)}"


def object_key(owner_id: str, kind: str, id: str) -> str:
    """`nb:{u:<ownerId>}:<kind>:<id>`"""
    return f"{PREFIX}:{{u:{owner_id}}}:{kind}:{id}"


def global_key(*parts: str) -> str:
    """A key of no owner, alone in its slot: `nb:<part>:<part>…`"""
    return f"{PREFIX}:{':'.join(parts)}"


def split_owner_key(key: str) -> tuple[str, str]:
    """`nb:{u:A}:session:B` → ("A", "session:B"); ValueError for any other key."""
    tag, separator, rest = key.removeprefix(f"{PREFIX}:{{u:").partition("}:")
    if not separator or not is_id(tag):
        raise ValueError(f"{key} is not the key of an owner.")
    return tag, rest


def log_key(owner_id: str) -> str:
    return owner_key(owner_id, "log")


def events_key(owner_id: str) -> str:
    return owner_key(owner_id, "events")


def operation_key(owner_id: str, operation_id: str) -> str:
    return owner_key(owner_id, "operation", operation_id)


def doorbell_channel(owner_id: str) -> str:
    """The Pub/Sub channel on which an owner's log says how far it is."""
    return owner_key(owner_id, "doorbell")
