"""`manage.py check_data`: whether all that is stored agrees with itself."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.people import id_named
from nanobanana.data_check import check_everything, check_users
from nanobanana.management.async_command import AsyncCommand, count
from nanobanana.progress import progress
from nanobanana.redisdb.checking import Findings
from nanobanana.redisdb.walking import database_size

MOST_SHOWN = 1000  # sentences


class Command(AsyncCommand):
    help = (
        "Compare every object with every index, counter, reference, event log and e-mail claim. The server "
        "may run: what others write meanwhile is no fault. 1 when something is wrong and was not mended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="mend what can be mended, and say what not")
        parser.add_argument("--user", metavar="ID|EMAIL", help="of this user alone (default: of everybody)")

    async def run(self, *, repair: bool, user: str | None, **options: Any) -> None:
        findings = await (self._everybody(repair) if user is None else self._one(user, repair))
        self.answer(_content(findings), *_sentences(findings, repair))
        if findings.faults:
            advice = "cannot be mended by itself" if repair else "--repair mends what can be mended"
            raise CommandError(f"{count(len(findings.faults), 'fault')}: {advice}.")

    async def _one(self, name: str, repair: bool) -> Findings:
        return await check_users([await id_named(name)], repair=repair)

    async def _everybody(self, repair: bool) -> Findings:
        found = Findings()
        with progress("Checking", 2 * await database_size()) as advance:
            async for findings in check_everything(repair=repair, advance=advance):
                found.add(findings)
        return found


def _content(findings: Findings) -> dict[str, Any]:
    return {
        "users": findings.owners,
        "faults": findings.faults,
        "mended": findings.mended,
        "unsettled": findings.unsettled,
    }


def _sentences(findings: Findings, repair: bool) -> list[str]:
    well = "All agrees." if not findings.faults else ""
    mended = f"{count(len(findings.mended), 'fault')} mended." if repair else ""
    return [
        *findings.shown(MOST_SHOWN),
        " ".join(filter(None, [f"Checked {count(findings.owners, 'user')}.", mended, well])),
    ]
