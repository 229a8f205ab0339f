"""Exceptions become answers here and nowhere else."""

import logging
import secrets

import orjson
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from redis import exceptions as redis_errors
from rest_framework import serializers

from nanobanana import errors
from nanobanana.redisdb import exceptions as redisdb

logger = logging.getLogger("nanobanana.errors")

OUTAGES = (redis_errors.ConnectionError, redis_errors.TimeoutError, TimeoutError)
# What Redis says while it cannot take a command that is right in itself.
OUTAGE_REPLIES = ("LOADING", "READONLY", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY")


def translate(error: Exception) -> errors.APIError:
    """The error of our tree that says the same; a bug is logged and becomes a plain APIError, 500."""
    match error:
        case errors.APIError():
            return error
        case redisdb.DoesNotExist():
            return errors.NotFound()
        case redisdb.CommitRefused():
            return errors.Conflict()
        case redisdb.OperationMismatch():
            return errors.IdempotencyMismatch()
        case serializers.ValidationError():
            return errors.ValidationFailed(details=sentences_by_field(error.detail))
        case RequestDataTooBig():
            return errors.PayloadTooLarge()
        case SuspiciousOperation() | MultiPartParserError():
            return errors.MalformedBody()
    outage = _outage(error)
    if outage is None:
        logger.exception("Unexpected %s", type(error).__name__, exc_info=error)
        return errors.APIError()
    logger.error("Redis does not serve: %s: %s", type(error).__name__, error)
    return outage


def to_response(error: Exception, request: HttpRequest) -> HttpResponse:
    """`{error, message, details?, requestId}` with the status and headers of the error."""
    problem = translate(error)
    body = {"error": problem.code, "message": problem.message, "requestId": request_id(request)}
    if problem.details:
        body["details"] = problem.details
    response = HttpResponse(orjson.dumps(body), status=problem.status, content_type="application/json")
    if problem.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="nanobanana"'
    if problem.retry_after:
        response["Retry-After"] = str(problem.retry_after)
    return response


def request_id(request: HttpRequest) -> str:
    """The id of this request, made when first asked for."""
    known = getattr(request, "id", None)
    if known is None:
        known = secrets.token_hex(8)
        request.id = known  # type: ignore[attr-defined]
    return known


def sentences_by_field(detail: object, name: str = "body") -> dict[str, list[str]]:
    """Flatten what a serializer found: `{field: [sentence, …]}`, nested fields as `outer.inner`."""
    if isinstance(detail, dict):
        flat: dict[str, list[str]] = {}
        for key, inner in detail.items():
            label = name if key == "non_field_errors" else str(key)
            for field, sentences in sentences_by_field(inner, label).items():
                flat.setdefault(field, []).extend(sentences)
        return flat
    if isinstance(detail, list):
        return {name: [sentence for item in detail for sentence in sentences_by_field(item, name)[name]]}
    return {name: [str(detail)]}


def _outage(error: Exception) -> errors.APIError | None:
    if isinstance(error, OUTAGES):
        return errors.ServiceUnavailable("The database does not answer; try again shortly.")
    if isinstance(error, redis_errors.RedisError):
        reply = str(error)
        if isinstance(error, redis_errors.OutOfMemoryError) or reply.startswith("OOM"):
            return errors.StorageFull("The database is full; nothing was changed.")
        if isinstance(error, redis_errors.ReadOnlyError) or reply.startswith(OUTAGE_REPLIES):
            return errors.ServiceUnavailable("The database takes no writes now; try again shortly.")
    return None
