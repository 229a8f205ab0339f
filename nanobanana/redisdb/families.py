"""Families of keys: what a check knows of keys by their names."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nanobanana.redisdb.claims import Claim, Listed
from nanobanana.redisdb.indexes import Postings

ID = "[0-9A-Z]{26}"


@dataclass(frozen=True)
class Family:
    """Keys whose names, behind the owner's tag, have one form (a regular expression).

    Of a sorted set, `is_placed` says that objects stand in it by their placements, `is_listing` that it has
    the names of keys. Claims can be made of a key (by owner id and key) and of each member of it (by owner
    id, key and member).
    """

    pattern: str
    is_placed: bool = False
    is_listing: bool = False
    of_key: Callable[[str, str], Iterable[Claim]] | None = None
    of_member: Callable[[str, str, str], Iterable[Claim]] | None = None

    @property
    def is_derived(self) -> bool:
        """Whether the key can be written anew from others."""
        return self.is_placed or self.is_listing


def families_of(postings: Postings) -> Iterator[Family]:
    """Objects stand under their terms, and these are the terms that are listed."""

    def is_listed(owner_id: str, key: str) -> Iterator[Claim]:
        yield Listed(postings.terms_key(owner_id), key.removeprefix(postings.key(owner_id)), key)

    def is_used(owner_id: str, key: str, term: str) -> Iterator[Claim]:
        yield Listed(key, term, postings.key(owner_id, term))

    yield Family(f"{re.escape(postings.stem)}.+", is_placed=True, of_key=is_listed)
    yield Family(re.escape(postings.terms), is_listing=True, of_member=is_used)
