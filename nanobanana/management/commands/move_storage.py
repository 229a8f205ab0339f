"""`manage.py move_storage --from local --to aws`: copy all objects, verified, as often as needed."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from media_store.storage.probe import explained
from media_store.storage.transfer import Transfer, count
from nanobanana.errors import APIError
from nanobanana.management.async_command import AsyncCommand
from nanobanana.management.storages import storage_named
from nanobanana.progress import progress

STORAGES = ("local", "aws", "aliyun")


class Command(AsyncCommand):
    help = (
        "Copy all pictures from one storage to another and verify each by its hash. Nothing is deleted from "
        "the first. The server may run: run this, switch STORAGE_TYPE, and run it again for what came since."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="source", choices=STORAGES, required=True, help="where they are")
        parser.add_argument("--to", dest="target", choices=STORAGES, required=True, help="where they go")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be copied")

    async def run(self, *, source: str, target: str, dry_run: bool, **options: Any) -> None:
        if source == target:
            raise CommandError("--from and --to are the same storage.")
        transfer = Transfer(storage_named(source), storage_named(target), is_rehearsal=dry_run)
        error = await _run(transfer)
        self.answer(_content(transfer), *_sentences(transfer))
        if error:
            raise CommandError(f"{explained(error)}\nRun this again when it works: what is there is skipped.")
        if transfer.failed:
            raise CommandError("Run this again: some objects came back other than they were written.")


async def _run(transfer: Transfer) -> APIError | None:
    try:
        with progress("Moving", await count(transfer.source)) as advance:
            await transfer.run(advance)
    except APIError as error:
        return error
    return None


def _sentences(transfer: Transfer) -> list[str]:
    done = "Would copy" if transfer.is_rehearsal else "Copied"
    what = f"{transfer.copied} objects of {transfer.copied_bytes} bytes"
    return [
        f"From {transfer.source.description} to {transfer.target.description}:",
        f"{done} {what}; {transfer.skipped} were there.",
        *([f"{transfer.vanished} were deleted meanwhile."] if transfer.vanished else []),
        *[f"{key} came back other than it was written." for key in transfer.failed],
        "Nothing was deleted: the first storage still has everything.",
    ]


def _content(transfer: Transfer) -> dict[str, Any]:
    return {
        "from": transfer.source.description,
        "to": transfer.target.description,
        "dryRun": transfer.is_rehearsal,
        "copied": transfer.copied,
        "copiedBytes": transfer.copied_bytes,
        "skipped": transfer.skipped,
        "vanished": transfer.vanished,
        "failed": transfer.failed,
    }
