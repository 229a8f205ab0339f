"""`manage.py reindex`: make the search index anew, or look whether it agrees with the data."""

import json
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from typing import Any

from django.core.management.base import CommandError

from accounts.models import User
from accounts.services.access import find_user
from chats.services.reindexing import index_faults, reindex, size_of
from nanobanana.management.async_command import AsyncCommand
from nanobanana.progress import progress
from nanobanana.redisdb.exceptions import DoesNotExist


class Command(AsyncCommand):
    help = "Make the search index anew; others may read and write meanwhile, and find less until it is done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="ID|EMAIL", help="of this user alone (default: of everybody)")
        parser.add_argument("--check", action="store_true", help="only say where index and data differ")
        parser.add_argument("--json", action="store_true", help="answer as JSON")

    async def run(self, *, user: str | None, check: bool, json: bool, **options: Any) -> None:
        users = [await find(user)] if user else [each async for each in everybody()]
        await (self._check(users, json) if check else self._reindex(users, json))

    async def _reindex(self, users: list[User], as_json: bool) -> None:
        sessions = messages = 0
        for user in users:
            with progress(f"Indexing {user.email}", await size_of(user.id), self.stderr) as advance:
                indexed = await reindex(user_id=user.id, advance=advance)
            sessions, messages = sessions + indexed.sessions, messages + indexed.messages
        figures = {"users": len(users), "sessions": sessions, "messages": messages}
        sentence = f"Indexed {messages} messages and {sessions} sessions of {len(users)} users."
        self.stdout.write(json.dumps(figures) if as_json else sentence)

    async def _check(self, users: list[User], as_json: bool) -> None:
        faults: list[str] = []
        for user in users:
            with progress(f"Checking {user.email}", await size_of(user.id), self.stderr) as advance:
                faults += await index_faults(user_id=user.id, advance=advance)
        if as_json:
            self.stdout.write(json.dumps({"users": len(users), "faults": faults}, ensure_ascii=False))
        if faults:
            sentences = [] if as_json else faults
            raise CommandError("\n".join([*sentences, f"The index has {len(faults)} faults."]))
        if not as_json:
            self.stdout.write(f"The index of {len(users)} users agrees with their data.")


async def find(name: str) -> User:
    """The user of this id or e-mail address."""
    if "@" in name:
        user = await find_user(name)
        if user:
            return user
    else:
        try:
            return await User.objects.aget(name, name)
        except DoesNotExist:
            pass
    raise CommandError(f"There is no user {name}.")


def everybody() -> AsyncIterator[User]:
    return User.objects.aiterate()
