"""`manage.py worker`: do jobs, beside servers that are told not to (JOB_WORKERS=0)."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from nanobanana import job_worker
from nanobanana.management.commands.serve import read_info
from nanobanana.server import ServeError


class Command(BaseCommand):
    help = "Do jobs, JOBS_AT_ONCE at a time, until told to stop; any number of these can run."

    def handle(self, **options: Any) -> None:
        try:
            read_info(settings.REDIS_URL)
        except ServeError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Doing {settings.JOBS_AT_ONCE} jobs at a time; Ctrl-C stops.")
        self.stdout.flush()
        job_worker.run()
        self.stdout.write("Stopped.")
