"""Middleware, natively async: the stock ones take two thread hops each."""

import re
import time
from collections.abc import Awaitable, Callable
from functools import cache

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.decorators import async_only_middleware

from nanobanana.logs import request_log
from nanobanana.metrics import OTHER, meters_of
from nanobanana.request_ids import begin_request
from nanobanana.responses import prepared, set_defaults, set_own_header

Handler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
UNMATCHED = "unmatched"  # the route of all that no call answers

# For answers of JSON, which no page shows or embeds; what is meant to be shown brings headers of its own.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ONLY_TLS = {"Strict-Transport-Security": "max-age=31536000"}  # a year; subdomains are not ours to promise


@async_only_middleware
def identify_and_log(get_response: Handler) -> Handler:
    """Give each request an id, which its answer and its lines in the log carry, and a line of its own.

    The line holds the route, never the address: in a path or a query anything may stand, a token too.
    """
    log = request_log().info

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        start = time.perf_counter()
        identifier = begin_request()
        response = await get_response(request)
        set_own_header(response, "X-Request-Id", identifier)
        elapsed = time.perf_counter() - start
        method, route, status = method_of(request), route_of(request), response.status_code
        meters_of(method, route, status).note(elapsed)
        log("request", method=method, route=route, status=status, duration_ms=round(elapsed * 1000, 2))
        return response

    return middleware


def method_of(request: HttpRequest) -> str:
    """One of a few, whatever the client calls it."""
    return request.method if request.method in METHODS else OTHER


def route_of(request: HttpRequest) -> str:
    """The address as it is declared, such as /api/sessions/:session_id."""
    match = request.resolver_match
    return _template_of(match.route) if match else UNMATCHED


@cache
def _template_of(pattern: str) -> str:
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r":\1", pattern) if pattern else UNMATCHED


@async_only_middleware
def secure(get_response: Handler) -> Handler:
    """Give each answer the security headers it does not set itself."""
    headers = prepared(SECURITY_HEADERS | (ONLY_TLS if is_behind_tls() else {}))

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        set_defaults(response, headers)
        return response

    return middleware


class CrossOrigin(CorsMiddleware):
    """Pages of other origins may read answers; what no page asks for need not be looked at for that."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" in request.META or request.method == "OPTIONS":
            return await super().__acall__(request)
        response = await self.get_response(request)
        if "Vary" in response:
            patch_vary_headers(response, ("origin",))
        else:
            set_own_header(response, "Vary", "origin")
        return response


def is_behind_tls() -> bool:
    """Whether browsers reach this server by TLS only; a proxy in front of it ends it."""
    return settings.IS_PRODUCTION and settings.PUBLIC_BASE_URL.startswith("https://")
