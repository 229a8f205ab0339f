"""What goes wrong, as one class."""

from typing import Any

import httpx

NETWORK_ERROR = "network_error"  # no answer came; `status` is 0
UNEXPECTED_ANSWER = "unexpected_answer"  # it is not one of ours: a proxy's, perhaps

Details = dict[str, list[str]]


class ApiError(Exception):
    """The server refused, or could not be reached. `code` is one of docs/errors.md, or `network_error`.

    `details` maps fields to sentences, `retry_after` is in seconds; `request_id` finds the server's log line.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Details | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({code})")
        self.status, self.code, self.message = status, code, message
        self.details = details or {}
        self.request_id, self.retry_after = request_id, retry_after

    @property
    def may_pass(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status in {0, 408, 429} or self.status >= 500


def error_of(response: httpx.Response) -> ApiError:
    """The error of an answer that was read; a proxy's page counts as one too."""
    body = _body_of(response)
    return ApiError(
        response.status_code,
        body.get("error", UNEXPECTED_ANSWER),
        body.get("message", f"The server answered {response.status_code}."),
        details=body.get("details"),
        request_id=body.get("requestId", response.headers.get("X-Request-Id")),
        retry_after=seconds_of(response.headers.get("Retry-After")),
    )


def network_error(error: Exception) -> ApiError:
    return ApiError(0, NETWORK_ERROR, f"The server cannot be reached: {error or type(error).__name__}.")


def seconds_of(retry_after: str | None) -> float | None:
    """The value of `Retry-After`; our servers say it in seconds, a date is left aside."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _body_of(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
