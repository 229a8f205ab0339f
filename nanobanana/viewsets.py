"""The base of all viewsets: DRF viewsets whose actions are coroutines.

What DRF chooses anew for each request (authenticators, parsers, renderer, negotiation) is constant here, so
an action runs as one short coroutine: authenticate, validate, call one service, render (docs/decisions/0004).
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers, viewsets

from nanobanana import strict_json
from nanobanana.calls import Call
from nanobanana.errors import APIError, MalformedBody, MethodNotAllowed, UnsupportedMedia, ValidationFailed
from nanobanana.exception_handler import to_response
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.unit_of_work import Operation
from nanobanana.responses import json_response, set_headers
from nanobanana.serializers import validate
from nanobanana.throttling import Budget, Standing, budget_of_method

JSON_TYPES = {"application/json", ""}


class ViewSet(viewsets.ViewSet):
    """Actions take the path's arguments and return a response; errors of our tree may be raised anywhere.

    Whoever calls may act, as often as they like; `accounts.viewsets` has bases that want a token and count.
    """

    calls: ClassVar[Mapping[str, Call]] = {}  # what nanobanana/schema.py says of each action
    budgets: ClassVar[Mapping[str, Budget]] = {}  # of actions that are no plain reads and writes

    request: HttpRequest
    budget: Budget  # what the request counts against
    standing: Standing | None = None  # with it, once counted

    async def admit(self) -> None:
        """Raise Unauthorized or TooManyRequests unless the caller may act."""

    def cursor(self) -> Cursor | None:
        """Of a change, the position of its event; of a read, where the log stood before it."""
        return None

    @classmethod
    def as_view(
        cls, actions: dict[str, str], **initkwargs: Any
    ) -> Callable[..., Awaitable[HttpResponseBase]]:
        """Bind methods to actions: `{"get": "list", "post": "create"}`."""
        names = {method.upper(): name for method, name in actions.items()}
        if "GET" in names:
            names.setdefault("HEAD", names["GET"])

        async def view(request: HttpRequest, **arguments: str) -> HttpResponseBase:
            self = cls(**initkwargs)
            self.request = request
            return await self.run(names, arguments)

        view.cls, view.actions, view.initkwargs = cls, actions, initkwargs  # type: ignore[attr-defined]
        view.csrf_exempt = True  # type: ignore[attr-defined]  # tokens, no cookies
        return markcoroutinefunction(view)

    async def run(self, names: dict[str, str], arguments: dict[str, str]) -> HttpResponseBase:
        try:
            response = await self.act(names, arguments)
        except Exception as error:
            response = to_response(error)
            if response.status_code == 405:
                response["Allow"] = ", ".join(sorted(names))
        if self.standing:
            set_headers(response, self.standing.headers)
        return response

    async def act(self, names: dict[str, str], arguments: dict[str, str]) -> HttpResponseBase:
        refusal: APIError | None = getattr(self.request, "refusal", None)
        if refusal:
            raise refusal
        action = names.get(self.request.method or "")
        if action is None:
            raise MethodNotAllowed
        self.budget = self.budgets.get(action) or budget_of_method(self.request.method)
        await self.admit()
        return await getattr(self, action)(**arguments)

    def body(self, serializer_class: type[serializers.Serializer]) -> dict[str, Any]:
        """The body as the serializer's fields."""
        return validate(serializer_class, self.json())

    def json(self) -> Any:
        """The body as JSON; an empty body is an empty object, whatever its type is said to be."""
        if self.request.content_type not in JSON_TYPES and self.request.META.get("CONTENT_LENGTH") != "0":
            raise UnsupportedMedia("Send JSON, with Content-Type: application/json.")
        body = self.request.body
        if not body:
            return {}
        try:
            return strict_json.loads(body)
        except ValueError as error:
            raise MalformedBody(f"The body is not JSON: {error}.") from error

    def operation(self) -> Operation | None:
        """What `Idempotency-Key` names: this request, whose repetition gets the same answer."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return None
        if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
            sentence = "This must be 1 to 255 printable characters without spaces."
            raise ValidationFailed(details={"Idempotency-Key": [sentence]})
        request = b"\n".join([str(self.request.method).encode(), self.request.path.encode(), self._content()])
        return Operation(hashlib.sha256(key.encode()).hexdigest()[:32], hashlib.sha256(request).hexdigest())

    def _content(self) -> bytes:
        # An upload's content is known to the service that reads it, which adds it to the fingerprint.
        return b"" if self.request.content_type == "multipart/form-data" else self.request.body

    def answer(self, content: dict[str, Any], status: int = 200) -> HttpResponse:
        """A JSON answer; with the cursor, if who asks has a log."""
        response = json_response(content, status)
        cursor = self.cursor()
        if cursor:
            response["X-Sync-Cursor"] = str(cursor)
        return response
