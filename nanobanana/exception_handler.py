"""Exceptions become answers here and nowhere else."""

import logging
import re
from typing import Any

from django.core.exceptions import RequestAborted, RequestDataTooBig, SuspiciousOperation
from django.http import HttpResponse
from django.http.multipartparser import MultiPartParserError
from redis import exceptions as redis_errors
from rest_framework import serializers

from nanobanana import errors
from nanobanana.redisdb import exceptions as redisdb
from nanobanana.request_ids import request_id
from nanobanana.responses import json_response, set_headers

logger = logging.getLogger("nanobanana.errors")

WHOLE_BODY = "body"  # the field of what is wrong with no single one
SILENCE = (redis_errors.ConnectionError, redis_errors.TimeoutError, TimeoutError)
REFUSALS = (redis_errors.ReadOnlyError, redis_errors.ClusterDownError, redis_errors.TryAgainError)
# How Redis says that it cannot take a command that is right in itself, where the client has no class for it.
# 6.2 wraps what a command in a script is told: "Error running script (…): … -OOM command not allowed …".
FULL_REPLY = re.compile(r"(?:^|-)OOM ")
REFUSAL_REPLY = re.compile(r"(?:^|-)(?:MISCONF|NOREPLICAS|READONLY|BUSY) ")


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
        case RequestAborted():
            return errors.BadRequest("The body ended before its end.")
        case SuspiciousOperation() | MultiPartParserError():
            return errors.MalformedBody()
    outage = _outage(error)
    if outage is None:
        logger.error("Unexpected %s", type(error).__name__, exc_info=error)
        return errors.APIError()
    logger.error("Redis does not serve: %s: %s", type(error).__name__, error)
    return outage


def to_response(error: Exception) -> HttpResponse:
    """`{error, message, details?, requestId}` with the status and headers of the error."""
    problem = translate(error)
    body: dict[str, Any] = {"error": problem.code, "message": problem.message, "requestId": request_id()}
    if problem.details:
        body["details"] = problem.details
    response = json_response(body, problem.status)
    if problem.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="nanobanana"'
    if problem.retry_after:
        response["Retry-After"] = str(problem.retry_after)
    set_headers(response, problem.headers)
    return response


def sentences_by_field(detail: object, name: str = WHOLE_BODY) -> dict[str, list[str]]:
    """Flatten what a serializer found: `{field: [sentence, …]}`, the field being one of the body's own."""
    if isinstance(detail, dict):
        parts = [(_field_of(name, key), inner) for key, inner in detail.items()]
    elif isinstance(detail, list):
        parts = [(name, inner) for inner in detail]
    else:
        return {name: [str(detail)]}
    flat: dict[str, list[str]] = {}
    for label, inner in parts:
        for field, sentences in sentences_by_field(inner, label).items():
            flat.setdefault(field, []).extend(sentences)
    return flat


def _field_of(name: str, key: object) -> str:
    return str(key) if name == WHOLE_BODY and key != "non_field_errors" else name


def _outage(error: Exception) -> errors.APIError | None:
    reply = str(error) if isinstance(error, redis_errors.ResponseError) else ""
    if isinstance(error, SILENCE):
        return errors.ServiceUnavailable("The database does not answer; try again shortly.")
    if isinstance(error, redis_errors.OutOfMemoryError) or FULL_REPLY.search(reply):
        return errors.StorageFull("The database is full; nothing was changed.")
    if isinstance(error, REFUSALS) or REFUSAL_REPLY.search(reply):
        return errors.ServiceUnavailable("The database takes no writes now; try again shortly.")
    return None
