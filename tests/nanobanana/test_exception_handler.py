"""From an exception to an answer."""

from typing import Any

import orjson
import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.http.multipartparser import MultiPartParserError
from redis import exceptions as redis_errors
from rest_framework.serializers import ValidationError

from nanobanana import errors
from nanobanana.exception_handler import sentences_by_field, to_response, translate
from nanobanana.redisdb import exceptions as redisdb
from nanobanana.request_ids import begin_request
from tests.support.log_lines import Log

WRAPPED = "Error running script (call to f_4bba): @user_script:11: @user_script: 11: -{reply}"
FULL = "OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = "READONLY You can't write against a read only replica."
NO_DISK = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."
ALONE = "NOREPLICAS Not enough good replicas to write."
BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.EmailTaken(), 409, "email_taken"),
        (redisdb.DoesNotExist("session X"), 404, "not_found"),
        (redisdb.CommitRefused("nb:{u:X}:user:X does not exist"), 409, "conflict"),
        (redisdb.OperationMismatch("X"), 422, "idempotency_mismatch"),
        (ValidationError({"title": ["No."]}), 400, "validation_failed"),
        (RequestDataTooBig(), 413, "payload_too_large"),
        (TooManyFieldsSent(), 400, "malformed_body"),
        (SuspiciousOperation(), 400, "malformed_body"),
        (MultiPartParserError("Invalid boundary"), 400, "malformed_body"),
        (redis_errors.ConnectionError("Error 111 connecting."), 503, "service_unavailable"),
        (redis_errors.TimeoutError(), 503, "service_unavailable"),
        (TimeoutError(), 503, "service_unavailable"),
        (redis_errors.BusyLoadingError(), 503, "service_unavailable"),
        (redis_errors.AuthenticationError("WRONGPASS"), 503, "service_unavailable"),
        (redis_errors.ReadOnlyError(READ_ONLY), 503, "service_unavailable"),
        (redis_errors.MasterDownError("Link with MASTER is down"), 503, "service_unavailable"),
        (redis_errors.ClusterDownError("The cluster is down"), 503, "service_unavailable"),
        (redis_errors.TryAgainError("Multiple keys request"), 503, "service_unavailable"),
        (redis_errors.ResponseError(NO_DISK), 503, "service_unavailable"),
        (redis_errors.ResponseError(ALONE), 503, "service_unavailable"),
        (redis_errors.ResponseError(BUSY), 503, "service_unavailable"),
        (redis_errors.ResponseError(WRAPPED.format(reply=READ_ONLY)), 503, "service_unavailable"),
        (redis_errors.ResponseError(WRAPPED.format(reply=ALONE)), 503, "service_unavailable"),
        (redis_errors.OutOfMemoryError(FULL.removeprefix("OOM ")), 507, "storage_full"),
        (redis_errors.ResponseError(WRAPPED.format(reply=FULL)), 507, "storage_full"),
        (redis_errors.ResponseError("WRONGTYPE Operation against a key"), 500, "internal_error"),
        (redis_errors.ResponseError("ERR value is not an integer"), 500, "internal_error"),
        (redisdb.FieldError("size holds 'x'"), 500, "internal_error"),
        (KeyError("X"), 500, "internal_error"),
        (RecursionError(), 500, "internal_error"),
    ],
    ids=lambda value: f"{type(value).__name__} {value}"[:60] if isinstance(value, Exception) else str(value),
)
def test_every_exception_has_an_answer(error: Exception, status: int, code: str) -> None:
    answer = to_response(error)
    content = orjson.loads(answer.content)
    assert (answer.status_code, content["error"]) == (status, code)
    assert content["message"].endswith(".")
    assert ("Retry-After" in answer) == (status in {503, 507})
    assert ("WWW-Authenticate" in answer) == (status == 401)


@pytest.mark.parametrize("error", [KeyError("salt"), redis_errors.ResponseError("ERR salt"), OSError("salt")])
async def test_what_is_our_fault_is_not_explained_to_the_caller_but_to_the_log(error: Exception) -> None:
    identifier, log = begin_request(), Log("error.log")
    answer = to_response(error)
    assert b"salt" not in answer.content
    assert orjson.loads(answer.content)["requestId"] == identifier
    [line] = log.lines
    assert (line["request_id"], line["event"]) == (identifier, f"Unexpected {type(error).__name__}")
    assert type(error).__name__ in line["exception"]


async def test_an_outage_is_logged_in_one_line() -> None:
    identifier, log = begin_request(), Log("error.log")
    to_response(redis_errors.ConnectionError("Error 111 connecting."))
    [line] = log.lines
    assert "exception" not in line
    assert line["request_id"] == identifier
    assert line["event"] == "Redis does not serve: ConnectionError: Error 111 connecting."


@pytest.mark.parametrize("error", [errors.NotFound(), ValidationError("No."), redisdb.DoesNotExist()])
def test_what_is_the_caller_s_fault_is_not_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    translate(error)
    assert caplog.records == []


def test_who_is_not_signed_in_is_told_how_to() -> None:
    answer = to_response(errors.TokenInvalid())
    assert answer["WWW-Authenticate"] == 'Bearer realm="nanobanana"'


@pytest.mark.parametrize(
    ("detail", "sentences"),
    [
        ("No.", {"body": ["No."]}),
        (["No.", "Never."], {"body": ["No.", "Never."]}),
        ({"title": ["No."], "text": ["Never."]}, {"title": ["No."], "text": ["Never."]}),
        ({"non_field_errors": ["No."]}, {"body": ["No."]}),
        ({"title": "No."}, {"title": ["No."]}),
        ({"imageIds": {0: ["No."], 3: ["Never."]}}, {"imageIds": ["No.", "Never."]}),
        ({"params": {"seed": ["No."]}}, {"params": ["No."]}),
        ({"imageIds": [["No."], ["Never."]]}, {"imageIds": ["No.", "Never."]}),
    ],
)
def test_what_a_serializer_found_comes_as_sentences_by_field(detail: Any, sentences: Any) -> None:
    assert sentences_by_field(detail) == sentences
