"""Calls about the server itself."""

import logging
from collections.abc import Awaitable

from django.http import HttpRequest, HttpResponse

from media_store.storage import get_storage
from nanobanana.errors import NotFound
from nanobanana.exception_handler import to_response
from nanobanana.redisdb.client import ask
from nanobanana.redisdb.fields import now
from nanobanana.serializers import timestamp
from nanobanana.viewsets import ViewSet

logger = logging.getLogger("nanobanana.health")


class HealthViewSet(ViewSet):
    async def retrieve(self) -> HttpResponse:
        """Whether the services a request needs are there; 503 when one is not."""
        services = {"redis": await state_of(ask("PING")), "storage": await state_of(get_storage().check())}
        is_well = set(services.values()) == {"ok"}
        content = {
            "status": "ok" if is_well else "unavailable",
            "timestamp": timestamp(now()),
            "services": services,
        }
        response = self.answer(content, 200 if is_well else 503)
        if not is_well:
            response["Retry-After"] = "5"
        return response


class UnknownViewSet(ViewSet):
    async def retrieve(self, **_: str) -> HttpResponse:
        raise NotFound("There is nothing at this address.")


def unknown(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The answer where no pattern can match: `GET *`."""
    return to_response(NotFound("There is nothing at this address."), request)


async def state_of(check: Awaitable[object]) -> str:
    try:
        await check
    except Exception as error:
        logger.error("A health check failed: %s: %s", type(error).__name__, error)
        return "unavailable"
    return "ok"
