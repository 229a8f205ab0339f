"""Calls about the server itself."""

import logging
from collections.abc import Awaitable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework import serializers

from media_store.storage import get_storage
from nanobanana.calls import Answer, Call, Fields
from nanobanana.errors import NotFound
from nanobanana.exception_handler import to_response
from nanobanana.redisdb.client import ask
from nanobanana.redisdb.fields import now
from nanobanana.serializers import MomentField, timestamp
from nanobanana.viewsets import ViewSet

logger = logging.getLogger("nanobanana.health")


STATES = ("ok", "unavailable")
STORAGES = ("local", "aws", "aliyun")


class ServicesSerializer(serializers.Serializer):
    redis = serializers.ChoiceField(choices=STATES, help_text="The database.")
    storage = serializers.ChoiceField(choices=STATES, help_text="Where the bytes of pictures are.")


def _health() -> Fields:
    return {
        "status": serializers.ChoiceField(choices=STATES, help_text="Whether all services are there."),
        "timestamp": MomentField(help_text="The server's time."),
        "services": ServicesSerializer(help_text="How each service is."),
        "storageType": serializers.ChoiceField(choices=STORAGES, help_text="The STORAGE_TYPE in use."),
    }


class HealthViewSet(ViewSet):
    calls = {
        "retrieve": Call(
            "Check the health",
            _health(),
            other_answers={
                503: Answer(_health(), headers=("Retry-After",), description="A service is not there.")
            },
        )
    }

    async def retrieve(self) -> HttpResponse:
        """Whether the services a request needs are there; 503 when one is not."""
        services = {"redis": await state_of(ask("PING")), "storage": await state_of(get_storage().check())}
        is_well = set(services.values()) == {"ok"}
        content = {
            "status": "ok" if is_well else "unavailable",
            "timestamp": timestamp(now()),
            "services": services,
            "storageType": settings.STORAGE_TYPE,
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
    return to_response(NotFound("There is nothing at this address."))


async def state_of(check: Awaitable[object]) -> str:
    try:
        await check
    except Exception as error:
        logger.error("A health check failed: %s: %s", type(error).__name__, error)
        return "unavailable"
    return "ok"
