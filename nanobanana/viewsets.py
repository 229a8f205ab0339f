"""The base of all viewsets: DRF viewsets whose actions are coroutines.

What DRF chooses anew for each request (authenticators, parsers, renderer, negotiation) is constant here, so
an action runs as one short coroutine: authenticate, validate, call one service, render (docs/decisions/0004).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from rest_framework import serializers, viewsets

from nanobanana import strict_json
from nanobanana.calls import Call
from nanobanana.errors import APIError, MalformedBody, MethodNotAllowed, UnsupportedMedia
from nanobanana.exception_handler import to_response
from nanobanana.forms import FORM, digest_of_form
from nanobanana.idempotency import KeyedRequest, answer_once, checked_key, fingerprint_of
from nanobanana.preconditions import etag_of, is_unchanged, revisions_named
from nanobanana.redisdb.event_log import Cursor
from nanobanana.redisdb.unit_of_work import Operation
from nanobanana.responses import json_response, set_headers, set_own_header
from nanobanana.serializers import validate
from nanobanana.throttling import READING_METHODS, Budget, Standing, budget_of_method

JSON_TYPES = {"application/json", ""}


class ViewSet(viewsets.ViewSet):
    """Actions take the path's arguments and return a response; errors of our tree may be raised anywhere.

    Whoever calls may act, as often as they like; `accounts.viewsets` has bases that want a token and count.
    """

    calls: ClassVar[Mapping[str, Call]] = {}  # what nanobanana/schema.py says of each action
    budgets: ClassVar[Mapping[str, Budget]] = {}  # of actions that are no plain reads and writes
    takes_keys: ClassVar[bool] = True  # of writes; not where a repetition has the same effect anyway

    request: HttpRequest
    budget: Budget  # what the request counts against
    standing: Standing | None = None  # with it, once counted
    keyed_request: KeyedRequest | None = None  # of a write with an Idempotency-Key

    async def admit(self) -> None:
        """Raise Unauthorized or TooManyRequests unless the caller may act."""

    @property
    def owner_id(self) -> str | None:
        """Whose Idempotency-Keys the caller's are, once admitted."""
        return None

    @property
    def credentials(self) -> str:
        """What else of the caller must be the same for a request to be the same."""
        return self.request.META.get("HTTP_AUTHORIZATION", "")

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
        act = partial(getattr(self, action), **arguments)
        if not self._has_key(action):
            return await act()
        self.keyed_request = await self._keyed_request()
        return await answer_once(self.keyed_request, act)

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
        """What commits know this request by, if it may be repeated under an Idempotency-Key."""
        return self.keyed_request.operation if self.keyed_request else None

    def _has_already(self, headers: dict[str, str]) -> bool:
        is_read = self.request.method in READING_METHODS
        known = self.request.META.get("HTTP_IF_NONE_MATCH", "")
        return is_read and "ETag" in headers and is_unchanged(known, headers["ETag"])

    def _has_key(self, action: str) -> bool:
        is_write = self.request.method not in READING_METHODS and action in self.calls
        return is_write and self.takes_keys and "HTTP_IDEMPOTENCY_KEY" in self.request.META

    async def _keyed_request(self) -> KeyedRequest:
        request = self.request
        key = checked_key(request.META["HTTP_IDEMPOTENCY_KEY"])
        content = await digest_of_form(request) if request.content_type == FORM else request.body
        address, method = request.get_full_path(), str(request.method)
        fingerprint = fingerprint_of(method.encode(), address.encode(), self.credentials.encode(), content)
        return KeyedRequest(key, fingerprint, request.path, self.owner_id)

    def if_match(self) -> frozenset[int] | None:
        """The revisions at which the caller wants the object changed; None when any will do."""
        return revisions_named(self.request.META.get("HTTP_IF_MATCH"))

    def answer(
        self, content: dict[str, Any], status: int = 200, *, revision: int | None = None
    ) -> HttpResponse:
        """A JSON answer; with the cursor, if who asks has a log.

        With the `revision` of the object in it, it has an ETag, and is short for who has that one already.
        """
        headers = {} if revision is None else {"ETag": etag_of(revision)}
        cursor = self.cursor()
        if cursor:
            headers["X-Sync-Cursor"] = str(cursor)
        if self._has_already(headers):
            return HttpResponseNotModified(headers=headers)
        response = json_response(content, status)
        for name, value in headers.items():
            set_own_header(response, name, value)
        return response
