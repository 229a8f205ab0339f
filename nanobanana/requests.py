"""A request as views get it: Django's, made without what nothing here reads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import IO, Any

from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from nanobanana.errors import APIError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
OTHER_NAMES = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


class Request(ASGIRequest):
    """`refusal` is to be answered instead of it; `receive` tells who waits long that the client has left."""

    def __init__(self, scope: Scope, body: IO[bytes], refusal: APIError | None, receive: Receive) -> None:
        """UnicodeDecodeError when the query is not UTF-8."""
        self.scope = scope
        self.refusal = refusal
        self.receive = receive
        self.resolver_match = None  # nanobanana.asgi puts a `Match` there
        self.script_name = ""
        self.path = self.path_info = scope["path"]
        self.method = scope["method"].upper()
        self.META = meta_of(scope, self.method)
        self._stream = body
        self._read_started = False
        self._post_parse_error = False
        self._set_content_type_params(self.META)

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        if "CONTENT_TYPE" in meta:
            super()._set_content_type_params(meta)
        else:
            self.content_type: str | None = ""
            self.content_params: dict[str, str] | None = {}


def meta_of(scope: Scope, method: str) -> dict[str, Any]:
    """What CGI calls the parts of a request, with its headers."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("unknown", 0)
    meta = {
        "REQUEST_METHOD": method,
        "PATH_INFO": scope["path"],
        "SCRIPT_NAME": "",
        "QUERY_STRING": scope["query_string"].decode(),
        "REMOTE_ADDR": client[0],
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = name_in_meta(raw_name), raw_value.decode("latin-1")
        if name:
            meta[name] = f"{meta[name]},{value}" if name in meta else value
    return meta


@lru_cache(256)
def name_in_meta(name: bytes) -> str:
    """`HTTP_IF_MATCH` of `if-match`; none of what has an underscore, which could be taken for a hyphen."""
    if b"_" in name:
        return ""
    return OTHER_NAMES.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")


async def chunks_of(request: HttpRequest) -> AsyncIterator[bytes]:
    """The body of a request that was not read before, as it comes; RequestAborted when its sender leaves."""
    message: dict[str, Any] = {"more_body": True}
    while message.get("more_body"):
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        yield message.get("body", b"")
