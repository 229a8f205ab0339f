"""The ASGI application: HTTP, WebSocket and the life of the process, on one port."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import IO, Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.exceptions import RequestAborted  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.http.response import HttpResponseBase  # noqa: E402
from django.urls import get_resolver  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

import realtime.hub  # noqa: E402
from accounts.tokens import read_access_token  # noqa: E402
from accounts.viewsets import bearer_token  # noqa: E402
from media_store.storage import get_storage  # noqa: E402
from nanobanana import vitals  # noqa: E402
from nanobanana.background import log_stray_error, of_this_process  # noqa: E402
from nanobanana.errors import APIError, ArchiveTooLarge, BadRequest, PayloadTooLarge, Unauthorized  # noqa: E402
from nanobanana.exception_handler import to_response  # noqa: E402
from nanobanana.redisdb import connection  # noqa: E402
from nanobanana.requests import Receive, Request, Scope  # noqa: E402
from nanobanana.responses import headers_on_wire  # noqa: E402
from nanobanana.routing import Routes  # noqa: E402
from realtime.routing import application as websocket_application  # noqa: E402

Send = Callable[[dict[str, Any]], Awaitable[None]]

logger = logging.getLogger(__name__)

JSON_BODY = 1024 * 1024
IN_MEMORY = 1024 * 1024  # of an upload; the rest goes to a temporary file
MULTIPART_OVERHEAD = 64 * 1024
IMPORT = "/api/sessions/import"
UPLOADS = "/uploads/"

get_storage()  # the SDK of a cloud takes a second to load: before the first request, not during it


class HTTPHandler(ASGIHandler):
    """Django's handler without what a project without SQL does not need.

    The stock one makes a thread for each request, for database connections and caches to close in; that costs
    more than the rest of the request. It also asks of each middleware and view whether they are coroutines,
    and guards each against the exceptions of the next one: here all are, and `answer` raises none.
    """

    def load_middleware(self, is_async: bool = True) -> None:
        self._routes = Routes(get_resolver().url_patterns)
        handler = self.answer
        for path in reversed(settings.MIDDLEWARE):
            handler = import_string(path)(handler)
        self._middleware_chain = handler

    async def answer(self, request: HttpRequest) -> HttpResponseBase:
        """The innermost of what the middleware is wrapped around: the view of the address."""
        try:
            request.resolver_match = match = self._routes.find(request.path_info)
            return await match.view(request, **match.arguments)
        except Exception as error:
            return to_response(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            limit, refusal = limit_of(scope)
            unread = BytesIO(), True
            body, is_complete = unread if is_streamed(scope) else await read_body(receive, limit)
        except RequestAborted:
            return
        with body:
            response = await self.respond(scope, body, None if is_complete else refusal, receive)
            try:
                await self.send_to_who_is_there(response, receive, send)
            finally:
                for close in response._resource_closers:
                    close()

    async def send_to_who_is_there(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Send an answer; one that is made while it is sent stops being made when the client leaves."""
        if not response.streaming:
            return await send_whole(response, send)
        sending = asyncio.ensure_future(self.send_response(response, send))
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def respond(
        self, scope: Scope, body: IO[bytes], refusal: APIError | None, receive: Receive
    ) -> HttpResponseBase:
        try:
            request = Request(scope, body, refusal, receive)
        except UnicodeDecodeError:
            refusal = refusal or BadRequest("The address is not UTF-8.")
            request = Request({**scope, "query_string": b""}, body, refusal, receive)
        try:
            response = await self._middleware_chain(request)
        except Exception as error:
            response = to_response(error)
        response._resource_closers.append(request.close)
        return response


async def send_whole(response: HttpResponseBase, send: Send) -> None:
    """Send an answer that is ready; none of ours has cookies."""
    start = {"type": "http.response.start", "status": response.status_code}
    await send({**start, "headers": headers_on_wire(response)})
    await send({"type": "http.response.body", "body": response.content})


def limit_of(scope: Scope) -> tuple[int, APIError]:
    """How many bytes the body of this request may have, and what is answered to a longer one.

    Strangers, who have no token of ours to show, cannot fill the disk.
    """
    headers = dict(scope["headers"])
    if not headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
        return JSON_BODY, PayloadTooLarge()
    try:
        read_access_token(bearer_token(headers.get(b"authorization", b"").decode("latin-1")))
    except Unauthorized as error:
        return JSON_BODY, error
    if scope["path"] == IMPORT:
        return settings.IMPORT_MAX_SIZE + MULTIPART_OVERHEAD, ArchiveTooLarge()
    return settings.MAX_FILE_SIZE * settings.MAX_FILES_AT_ONCE + MULTIPART_OVERHEAD, PayloadTooLarge()


def is_streamed(scope: Scope) -> bool:
    """Whether the view takes the body piece by piece (`requests.chunks_of`)."""
    return scope["method"] == "PUT" and scope["path"].startswith(UPLOADS)


async def client_left(receive: Receive) -> None:
    """Return when the client is gone, or has its whole answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(receive: Receive, limit: int) -> tuple[IO[bytes], bool]:
    """The body as a file at its start, and whether it is whole: one over the limit is not read to its end."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        content = message.get("body", b"")
        return BytesIO(content), len(content) <= limit
    body = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # the caller closes it
    is_complete = await _spool(message, receive, body, limit)
    body.seek(0)
    return body, is_complete


async def _spool(message: dict[str, Any], receive: Receive, body: IO[bytes], limit: int) -> bool:
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            body.close()
            raise RequestAborted
        size += len(message.get("body", b""))
        if size > limit:
            return False
        body.write(message.get("body", b""))
        if not message.get("more_body"):
            return True
        message = await receive()


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Start and stop what lives as long as the process."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            asyncio.get_running_loop().set_exception_handler(log_stray_error)
            of_this_process.spawn(vitals.keep_telling())
            of_this_process.spawn(vitals.keep_asking_redis())
            await realtime.hub.start()
            logger.info("Process %d serves", os.getpid())
            await send({"type": "lifespan.startup.complete"})
        else:
            await of_this_process.cancel()
            await realtime.hub.stop()
            await connection.close()
            logger.info("Process %d has ended", os.getpid())
            await send({"type": "lifespan.shutdown.complete"})
            return


class Application:
    """Hands each connection to the handler of its protocol."""

    def __init__(self) -> None:
        self.handlers = {"http": HTTPHandler(), "websocket": websocket_application, "lifespan": lifespan}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.handlers[scope["type"]](scope, receive, send)

    def stop_waiting(self) -> None:
        """Have requests answered that wait for something to happen, so that the process can stop."""
        realtime.hub.get_hub().end_polls()


application = Application()
