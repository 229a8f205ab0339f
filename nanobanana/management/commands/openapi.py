"""`manage.py openapi`: write down what `/api/schema` answers."""

from django.core.management.base import BaseCommand

from nanobanana.schema import as_yaml


class Command(BaseCommand):
    help = "Print the OpenAPI description of all calls; docs/openapi.yaml is made with it."
    requires_system_checks: list[str] = []  # none of them is about the schema

    def handle(self, **options: object) -> None:
        self.stdout.write(as_yaml().decode(), ending="")
