"""`manage.py check_storage`: write, read, sign, list and delete a probe, and explain what fails."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from media_store.storage import Storage
from media_store.storage.probe import FAILED, Probe, Step
from nanobanana.management.async_command import AsyncCommand
from nanobanana.management.storages import storage_named
from nanobanana.storage_choice import requested_storage


class Command(AsyncCommand):
    help = (
        "Write, read, sign, list and delete a probe in the storage of STORAGE_TYPE; 1 when something fails."
    )

    async def run(self, **options: Any) -> None:
        storage = storage_named(requested_storage())
        self._say(f"Storage: {storage.description}")
        steps = []
        async for step in Probe(storage).run():
            steps.append(step)
            self._say(self._line(step))
        has_failed = any(step.state == FAILED for step in steps)
        if self.as_json:
            self.answer(_content(storage, steps, not has_failed))
        if has_failed:
            raise CommandError("The storage does not do all that is needed of it.")

    def _say(self, line: str) -> None:
        """Each line when it is so, for a cloud can take its time."""
        if not self.as_json:
            self.stdout.write(line)
            self.stdout.flush()

    def _line(self, step: Step) -> str:
        style = self.style.ERROR if step.state == FAILED else str
        line = f"  {step.state:8}{step.name:12}{step.milliseconds:6} ms  {step.explanation}".rstrip()
        return style(line)


def _content(storage: Storage, steps: list[Step], is_well: bool) -> dict[str, Any]:
    return {
        "ok": is_well,
        "storageType": settings.STORAGE_TYPE,
        "storage": storage.description,
        "steps": [step._asdict() for step in steps],
    }
