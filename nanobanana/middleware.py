"""Middleware, natively async: the stock ones take two thread hops each."""

import logging
import time
from collections.abc import Awaitable, Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware
from django.utils.encoding import escape_uri_path

from nanobanana.exception_handler import request_id

logger = logging.getLogger("nanobanana.requests")
Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware
def identify_and_log(get_response: Handler) -> Handler:
    """Give each answer its request id and security headers, and each request a line in the log.

    The line holds the path, never the query string: a token may stand there.
    """

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        start = time.perf_counter()
        response = await get_response(request)
        response.headers["X-Request-Id"] = identifier = request_id(request)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cache-Control", "no-store")
        elapsed = (time.perf_counter() - start) * 1000
        line = "%s %s %d %.1fms %s"
        path = escape_uri_path(request.path)  # so that nobody writes lines of their own into the log
        logger.info(line, request.method, path, response.status_code, elapsed, identifier)
        return response

    return middleware
