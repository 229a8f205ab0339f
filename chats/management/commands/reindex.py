"""`manage.py reindex`: make the search index anew, or look whether it agrees with the data."""

from argparse import ArgumentParser
from collections.abc import AsyncIterator
from typing import Any

from django.core.management.base import CommandError

from accounts.management.people import account_named
from accounts.models import User
from chats.services.reindexing import index_faults, reindex, size_of
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.progress import progress


class Command(AsyncCommand):
    help = "Make the search index anew; others may read and write meanwhile, and find less until it is done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="ID|EMAIL", help="of this user alone (default: of everybody)")
        parser.add_argument("--check", action="store_true", help="only say where index and data differ")

    async def run(self, *, user: str | None, check: bool, **options: Any) -> None:
        users = [each async for each in everybody()] if user is None else [await account_named(user)]
        await (self._check(users) if check else self._reindex(users))

    async def _reindex(self, users: list[User]) -> None:
        sessions = messages = 0
        for user in users:
            with progress(f"Indexing {user.email}", await size_of(user.id)) as advance:
                indexed = await reindex(user_id=user.id, advance=advance)
            sessions, messages = sessions + indexed.sessions, messages + indexed.messages
        figures = {"users": len(users), "sessions": sessions, "messages": messages}
        done = f"{count(messages, 'message')} and {count(sessions, 'session')} of {count(len(users), 'user')}"
        self.answer(figures, f"Indexed {done}.")

    async def _check(self, users: list[User]) -> None:
        faults: list[str] = []
        for user in users:
            with progress(f"Checking {user.email}", await size_of(user.id)) as advance:
                faults += await index_faults(user_id=user.id, advance=advance)
        well = [] if faults else [f"The index of {count(len(users), 'user')} agrees with the data."]
        self.answer({"users": len(users), "faults": faults}, *faults, *well)
        if faults:
            raise CommandError(f"The index has {count(len(faults), 'fault')}.")


def everybody() -> AsyncIterator[User]:
    return User.objects.aiterate()
