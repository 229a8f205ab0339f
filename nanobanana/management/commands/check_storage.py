"""`manage.py check_storage`: write, read, sign, list and delete a probe, and explain what fails."""

import asyncio
from argparse import ArgumentParser
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from media_store.storage import Storage
from media_store.storage.probe import FAILED, Probe, Step
from nanobanana.management.storages import storage_named
from nanobanana.storage_choice import requested_storage


class Command(BaseCommand):
    help = (
        "Write, read, sign, list and delete a probe in the storage of STORAGE_TYPE; 1 when something fails."
    )
    requires_system_checks: list[str] = []  # what they refuse is explained here

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one object instead of lines")

    def handle(self, *, json: bool, **options: Any) -> None:
        storage = storage_named(requested_storage())
        if not json:
            self.stdout.write(f"Storage: {storage.description}")
        steps = asyncio.run(self._try(storage, is_quiet=json))
        has_failed = any(step.state == FAILED for step in steps)
        if json:
            self.stdout.write(_as_json(storage, steps, not has_failed))
        if has_failed:
            raise CommandError("The storage does not do all that is needed of it.")

    async def _try(self, storage: Storage, *, is_quiet: bool) -> list[Step]:
        steps = []
        async for step in Probe(storage).run():
            steps.append(step)
            if not is_quiet:
                self.stdout.write(self._line(step))
                self.stdout.flush()
        return steps

    def _line(self, step: Step) -> str:
        style = self.style.ERROR if step.state == FAILED else str
        line = f"  {step.state:8}{step.name:12}{step.milliseconds:6} ms  {step.explanation}".rstrip()
        return style(line)


def _as_json(storage: Storage, steps: list[Step], is_well: bool) -> str:
    content = {
        "ok": is_well,
        "storageType": settings.STORAGE_TYPE,
        "storage": storage.description,
        "steps": [step._asdict() for step in steps],
    }
    return orjson.dumps(content).decode()
