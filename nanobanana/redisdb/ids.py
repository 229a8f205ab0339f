"""Identifiers: ULIDs that sort by the time they were made, exactly.

A ULID is 48 bits of milliseconds and 80 random bits, in 26 characters. Two messages of one millisecond would
sort at random, so the first 20 of the random bits hold the fraction of the millisecond (as UUIDv7 allows in
RFC 9562, method 3), and within a process every id is greater than the one before.

Ids made for another time, of what is copied or brought in, have a count in the place of the fraction, so that
those of one millisecond stand in the order they were made too.
"""

import hashlib
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from itertools import count

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_BITS = 60
FRACTION_BITS = 20
PATTERN = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
YEAR_10000 = "76EZ91ZQ00"  # where the time of an id begins to be none that `datetime` knows
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
COUNT_BITS = 40  # of an id made for another time

_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_last_time = 0
_count = count()


def new_id(*, at: datetime | None = None) -> str:
    """Return a new ULID, greater than every one this process made before.

    With `at` it is one of that moment, and greater than every one this process made for the same millisecond
    in this way. ValueError for a moment that no id has.
    """
    if at is not None:
        return _id_of_moment((at - EPOCH) // MILLISECOND)
    global _last_time
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    time_bits = (milliseconds << FRACTION_BITS) | (nanoseconds << FRACTION_BITS) // 1_000_000
    _last_time = max(time_bits, _last_time + 1)
    return _encode((_last_time << RANDOM_BITS) | secrets.randbits(RANDOM_BITS))


def named_id(name: str, *, at: datetime) -> str:
    """The id of something from elsewhere: the same each time, for its name there and its time.

    ValueError for a moment that no id has.
    """
    milliseconds = (at - EPOCH) // MILLISECOND
    if milliseconds < 0:
        raise ValueError("There are no ids of before 1970.")
    bits = FRACTION_BITS + RANDOM_BITS
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()) % (1 << bits)
    return _encode((milliseconds << bits) | digest)


def is_id(value: object) -> bool:
    """Whether `value` has the form of an id; nothing else may become part of a key."""
    return isinstance(value, str) and PATTERN.fullmatch(value) is not None and value < YEAR_10000


def time_of(identifier: str) -> datetime:
    """When the id was made, UTC, to the millisecond."""
    number = 0
    for character in identifier[:10]:
        number = number * 32 + ALPHABET.index(character)
    return EPOCH + timedelta(milliseconds=number)


def first_id(milliseconds: int) -> str:
    """The least id of this time, in milliseconds since 1970: all that were made before it are less."""
    return _encode(max(0, milliseconds) << (FRACTION_BITS + RANDOM_BITS))


def _id_of_moment(milliseconds: int) -> str:
    if milliseconds < 0:
        raise ValueError("There are no ids of before 1970.")
    random_bits = FRACTION_BITS + RANDOM_BITS - COUNT_BITS
    bits = (milliseconds << COUNT_BITS) | next(_count) % (1 << COUNT_BITS)
    return _encode((bits << random_bits) | secrets.randbits(random_bits))


def _encode(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
