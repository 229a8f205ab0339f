"""`manage.py check_media`: whether pictures and the storage agree, both ways."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from media_store.services.media_check import MediaCheck, Suspicious
from media_store.storage import StorageUnavailable, get_storage
from media_store.storage.transfer import count as count_objects
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.progress import progress

MOST_SHOWN = 1000  # sentences


class Command(AsyncCommand):
    help = (
        "Compare every picture with its objects in the storage, and every object with its picture. The "
        "server may run. 1 when something is wrong and was not mended. check_data compares the records."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--repair",
            action="store_true",
            help="remove objects without a picture and unfinished writes, make lost thumbnails anew; a "
            "picture whose original is lost keeps its record",
        )
        parser.add_argument(
            "--verify", action="store_true", help="read all originals and compare their hashes"
        )
        parser.add_argument(
            "--force", action="store_true", help="with --repair, even when most objects have no picture"
        )

    async def run(self, *, repair: bool, verify: bool, force: bool, **options: Any) -> None:
        check = MediaCheck(repair=repair, verify=verify, force=force)
        try:
            with progress("Checking", 3 * await count_objects(get_storage()) // 2) as advance:
                await check.run(advance)
        except StorageUnavailable as error:
            raise CommandError(error.explanation) from error
        except Suspicious as error:
            raise CommandError(
                f"{count(len(check.strays), 'object')} of {check.objects} without a picture: "
                "is this the right Redis? Nothing was removed; --force removes them."
            ) from error
        self.answer(_content(check), *_sentences(check))
        if check.findings.faults:
            advice = "cannot be mended by itself" if repair else "--repair mends what can be mended"
            raise CommandError(f"{count(len(check.findings.faults), 'fault')}: {advice}.")


def _content(check: MediaCheck) -> dict[str, Any]:
    return {
        "pictures": check.pictures,
        "objects": check.objects,
        "foreign": check.foreign,
        "faults": check.findings.faults,
        "mended": check.findings.mended,
        "unsettled": check.findings.unsettled,
    }


def _sentences(check: MediaCheck) -> list[str]:
    found = check.findings
    looked_at = f"Checked {count(check.pictures, 'picture')} and {count(check.objects, 'object')}"
    others = f", {check.foreign} of which are none of ours" if check.foreign else ""
    return [
        *found.shown(MOST_SHOWN),
        f"{looked_at}{others}. {'' if found.faults else 'All agrees.'}".rstrip(),
    ]
