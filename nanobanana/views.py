"""Calls about the server itself."""

from django.conf import settings
from django.http import HttpResponse
from rest_framework import serializers

from nanobanana import exposition, health
from nanobanana.calls import Answer, Call, Fields
from nanobanana.errors import NotFound, Unauthorized
from nanobanana.redisdb.fields import now
from nanobanana.serializers import MomentField, timestamp
from nanobanana.viewsets import ViewSet

STATES = ("ok", "unavailable")
STORAGES = ("local", "aws", "aliyun")
PAUSE = "5"  # seconds before the next question makes sense
HIDDEN = "With `HEALTH_TOKEN` set, all but `status` is for who sends it as the Bearer token."

METRICS_NOTE = (
    "For Prometheus; docs/metrics.md explains them. With `METRICS_TOKEN` set, they are for who sends it as "
    "the Bearer token. In production without one, there is nothing at this address."
)


class ServicesSerializer(serializers.Serializer):
    redis = serializers.ChoiceField(choices=STATES, help_text="The database.")
    storage = serializers.ChoiceField(choices=STATES, help_text="Where the bytes of pictures are.")


class ParticipantsSerializer(ServicesSerializer):
    worker = serializers.ChoiceField(choices=STATES, help_text="The process that answers.")
    jobs = serializers.ChoiceField(
        choices=STATES, help_text="Who does what is behind requests; see READY_NEEDS_JOBS."
    )


class ReasonsSerializer(serializers.Serializer):
    redis = serializers.CharField(required=False, help_text="What is wrong with the database.")
    storage = serializers.CharField(required=False, help_text="What is wrong with the storage of pictures.")
    worker = serializers.CharField(required=False, help_text="Why this process takes no more requests.")
    jobs = serializers.CharField(required=False, help_text="Why jobs wait.")


def _status() -> Fields:
    return {"status": serializers.ChoiceField(choices=STATES, help_text="Whether all is well.")}


def _health() -> Fields:
    return {
        **_status(),
        "timestamp": MomentField(required=False, help_text="The server's time."),
        "services": ServicesSerializer(required=False, help_text="How each service is."),
        "storageType": serializers.ChoiceField(
            choices=STORAGES, required=False, help_text="The STORAGE_TYPE in use."
        ),
    }


def _readiness() -> Fields:
    return {
        **_status(),
        "timestamp": MomentField(required=False, help_text="The server's time."),
        "services": ParticipantsSerializer(required=False, help_text="How each of them is."),
        "reasons": ReasonsSerializer(required=False, help_text="What is wrong, if anything is."),
    }


class HealthViewSet(ViewSet):
    calls = {
        "retrieve": Call(
            "Check the health",
            _health(),
            HIDDEN,
            other_answers={
                503: Answer(_health(), headers=("Retry-After",), description="A service is not there.")
            },
        ),
        "live": Call("Check that the process answers", _status(), "It asks nobody else."),
        "ready": Call(
            "Check the readiness for requests",
            _readiness(),
            HIDDEN,
            other_answers={
                503: Answer(
                    _readiness(), headers=("Retry-After",), description="Send requests to others for now."
                )
            },
        ),
    }

    async def retrieve(self) -> HttpResponse:
        """Whether the services a request needs are there; 503 when one is not."""
        return self.report(await health.missing_services(), {"storageType": settings.STORAGE_TYPE})

    async def live(self) -> HttpResponse:
        return self.answer({"status": "ok"})

    async def ready(self) -> HttpResponse:
        """Whether requests should be sent here; 503 with the reasons when not."""
        problems = await health.obstacles_to_requests()
        every = problems | await health.obstacles_behind_requests()
        reasons = {name: problem for name, problem in every.items() if problem}
        return self.report(problems, {"reasons": reasons} if reasons else {}, every)

    def report(
        self, problems: health.Problems, more: dict[str, object], every: health.Problems | None = None
    ) -> HttpResponse:
        is_well = not any(problems.values())
        content: dict[str, object] = {"status": "ok" if is_well else "unavailable"}
        if health.may_see_details(self.request.META.get("HTTP_AUTHORIZATION", "")):
            named = every or problems
            services = {name: "unavailable" if problem else "ok" for name, problem in named.items()}
            content |= {"timestamp": timestamp(now()), "services": services, **more}
        response = self.answer(content, 200 if is_well else 503)
        if not is_well:
            response["Retry-After"] = PAUSE
        return response


class MetricsViewSet(ViewSet):
    calls = {
        "retrieve": Call(
            "Read the metrics",
            details=METRICS_NOTE,
            errors=(Unauthorized, NotFound),
            other_answers={200: Answer(media_types=("text/plain",))},
        )
    }

    async def retrieve(self) -> HttpResponse:
        if not health.may_see_metrics(self.request.META.get("HTTP_AUTHORIZATION", "")):
            raise Unauthorized if settings.METRICS_TOKEN else NotFound("There is nothing at this address.")
        return HttpResponse(await exposition.page(), content_type=exposition.CONTENT_TYPE)


class UnknownViewSet(ViewSet):
    async def retrieve(self, **_: str) -> HttpResponse:
        raise NotFound("There is nothing at this address.")
