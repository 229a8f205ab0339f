"""`manage.py listusers`: the accounts there are, page by page."""

from typing import Any

from django.core.management.base import CommandParser

from accounts.models import User
from accounts.serializers import render_user
from accounts.services.directory import Filter, find_accounts
from nanobanana.management.async_command import AsyncCommand, count, whole_number
from nanobanana.progress import progress
from nanobanana.redisdb.walking import database_size

MOST = 10_000


class Command(AsyncCommand):
    help = "List the accounts, the oldest first, page by page."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--search", default="", metavar="TEXT", help="that have this in address or name")
        parser.add_argument("--after", default="", metavar="ID", help="the page behind this user")
        parser.add_argument("--limit", type=int, default=50, help="of one page; default: %(default)s")
        active = parser.add_mutually_exclusive_group()
        active.add_argument("--active", action="store_true", default=None, help="who may sign in")
        active.add_argument("--inactive", dest="active", action="store_false", help="who is shut out")

    async def run(self, *, search: str, after: str, limit: int, active: bool | None, **options: Any) -> None:
        whole_number("--limit", limit, least=1, most=MOST)
        wanted = Filter(text=search, is_active=active)
        with progress("Looking", await database_size()) as advance:
            found = await find_accounts(wanted, after=after, limit=limit, advance=advance)
        following = found.users[-1].id if found.has_more else None
        content = {
            "users": [render_user(user) for user in found.users],
            "total": found.total,
            "nextAfter": following,
            "unreadable": found.unreadable,
        }
        damaged = [f"{user_id} cannot be read: see check_data." for user_id in found.unreadable]
        more = [f"More: --after {following}"] if following else []
        self.answer(content, *map(line_of, found.users), *damaged, f"{count(found.total, 'account')}.", *more)


def line_of(user: User) -> str:
    made = f"made {user.created_at:%Y-%m-%d}"
    signed_in = f"signed in {user.last_login_at:%Y-%m-%d}" if user.last_login_at else "never signed in"
    state = "" if user.is_active else "shut out"
    return f"{user.id}  {made}  {signed_in:20}  {user.email}  {user.username}  {state}".rstrip()
