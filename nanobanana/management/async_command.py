"""The base of commands that use the services, which are coroutines; the server may run meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from nanobanana.errors import APIError
from nanobanana.redisdb import connection


class AsyncCommand(BaseCommand):
    requires_system_checks: list[str] = []  # they are about serving

    run: Callable[..., Awaitable[None]]  # what the command does, with its options

    def handle(self, **options: Any) -> None:
        try:
            asyncio.run(self._run(options))
        except APIError as error:
            raise CommandError("\n".join([error.message, *_details_of(error)])) from error
        except (RedisError, TimeoutError, ConnectionError) as error:
            advice = "start the server with `make run`" if settings.REDIS_IS_EMBEDDED else "check REDIS_URL"
            raise CommandError(f"Redis does not answer ({error}): {advice}.") from error

    async def _run(self, options: dict[str, Any]) -> None:
        try:
            await self.run(**options)
        finally:
            await connection.close()


def _details_of(error: APIError) -> list[str]:
    places = (error.details or {}).items()
    return list(
        chain.from_iterable([f"{place}: {each}" for each in sentences] for place, sentences in places)
    )
