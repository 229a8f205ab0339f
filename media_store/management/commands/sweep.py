"""`manage.py sweep`: remove pictures that nobody uses, and bytes that nothing holds."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from accounts.management.people import account_named
from media_store.services.sweep import Swept, due_of, sweep_user, users_to_sweep
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.progress import progress


class Command(AsyncCommand):
    help = (
        "Remove pictures that no message has shown for CLEANUP_GRACE (unless SWEEP_UNUSED_IMAGES is off), "
        "and what uploads and deletions left behind, as the server does by itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="ID|EMAIL", help="of this user alone (default: of everybody)")
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would go")

    async def run(self, *, user: str | None, dry_run: bool, **options: Any) -> None:
        user_ids = (
            [user_id async for user_id in users_to_sweep()]
            if user is None
            else [(await account_named(user)).id]
        )
        swept, sweep = Swept(), due_of if dry_run else sweep_user
        with progress("Sweeping", len(user_ids)) as advance:
            for user_id in user_ids:
                swept.add(await sweep(user_id=user_id))
                advance(1)
        self.answer({**_as_content(swept), "dryRun": dry_run}, _as_sentence(swept, dry_run))


def _as_content(swept: Swept) -> dict[str, int]:
    content = asdict(swept)
    content["leftBehind"] = content.pop("left_behind")
    return content


def _as_sentence(swept: Swept, dry_run: bool) -> str:
    done = "would be removed" if dry_run else "are removed"
    pictures = count(swept.pictures, "picture")
    return (
        f"{pictures} that no message shows, {count(swept.abandoned, 'unfinished upload')} and the bytes of "
        f"{count(swept.left_behind, 'deleted picture')} {done}."
    )
