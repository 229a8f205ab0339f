from django.apps import AppConfig
from django.conf import settings
from django.core.checks import register

from nanobanana import checks
from nanobanana.redisdb import client


class NanobananaConfig(AppConfig):
    name = "nanobanana"

    def ready(self) -> None:
        client.configure(settings.REDIS_URL)
        for check in (
            checks.check_secret,
            checks.check_debug,
            checks.check_storage,
            checks.check_cdn,
            checks.check_origins,
            checks.check_mail,
        ):
            register(check)
