"""All accounts, for operators: found by going over the whole database, in bounded memory."""

from collections.abc import Callable
from dataclasses import dataclass

from accounts.models import User
from accounts.services.access import normalized_email

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Filter:
    """Which accounts: those with `text` in address or name, in any case; `is_active` None: both kinds."""

    text: str = ""
    is_active: bool | None = None

    def takes(self, user: User) -> bool:
        if self.is_active not in {None, user.is_active}:
            return False
        text = normalized_email(self.text)
        return text in user.email or text in normalized_email(user.username)


@dataclass(frozen=True)
class Found:
    """A page of accounts, the oldest first; `total` is of all pages. `unreadable` are ids, on every page."""

    users: list[User]
    total: int
    has_more: bool
    unreadable: list[str]


async def find_accounts(
    wanted: Filter, *, after: str = "", limit: int, advance: Advance = lambda _: None
) -> Found:
    """The first accounts of a kind behind an id."""
    seen: set[str] = set()  # the walk over the database can meet one twice
    first: dict[str, User] = {}
    unreadable: dict[str, None] = {}
    behind = 0
    async for user in User.objects.aiterate(advance, lambda user_id, _: unreadable.setdefault(user_id)):
        if user.id in seen or not wanted.takes(user):
            continue
        seen.add(user.id)
        if user.id > after:
            behind += 1
            first[user.id] = user
            if len(first) > 2 * limit:
                first = _lowest(first, limit)
    return Found(list(_lowest(first, limit).values()), len(seen), behind > limit, sorted(unreadable))


def _lowest(users: dict[str, User], limit: int) -> dict[str, User]:
    return dict(sorted(users.items())[:limit])
