"""The OpenAPI description of every call, by drf-spectacular, from the addresses and the tables of calls.

It is made when it is first asked for, and then kept; drf-spectacular is not even imported before.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any, cast

import orjson
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.renderers import OpenApiYamlRenderer
from rest_framework import serializers

from accounts.viewsets import SignedInViewSet, StrangerViewSet
from nanobanana import errors
from nanobanana.calls import Answer, Call, Fields
from nanobanana.errors import APIError
from nanobanana.forms import FORM
from nanobanana.preconditions import IF_MATCH
from nanobanana.serializers import ID, ErrorSerializer, IdField, MomentField
from nanobanana.throttling import READING_METHODS

JSON = "application/json"
TEXT, NUMBER = {"type": "string"}, {"type": "integer", "minimum": 1}
TRUE = {"type": "string", "enum": ["true"]}
ULID = {"type": "string", "pattern": f"^{ID}$"}
MOMENT = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
}
HEADERS = {
    "X-Request-Id": ("The request's name in the log.", TEXT),
    "X-Sync-Cursor": (
        "Of a change, where its event is; of a read, where the log stood before.",
        TEXT,
    ),
    "Idempotent-Replayed": ("The answer is that of an earlier request, with the same key.", TRUE),
    "RateLimit-Policy": ("The budget this call counts against: `q` requests in `w` seconds.", TEXT),
    "RateLimit": ("What is left of it: `r` requests; it is whole again in `t` seconds.", TEXT),
    "Retry-After": ("Seconds to wait before the next try.", NUMBER),
    "WWW-Authenticate": ("The call wants a Bearer token.", TEXT),
    "ETag": ("The version of the file, or the revision of the object.", TEXT),
    "Accept-Ranges": ("Parts of the file can be asked for.", TEXT),
    "Content-Range": ("Which bytes these are, of how many.", TEXT),
    "Location": ("Where to go on.", TEXT),
    "Content-Disposition": ("A name to save the file under.", TEXT),
}
ALWAYS_THERE = {"X-Request-Id", "Retry-After", "WWW-Authenticate", "Content-Range", "ETag"}
BUDGET = ("RateLimit-Policy", "RateLimit")
HEADERS_OF_ERROR = {
    401: ("WWW-Authenticate",),
    416: ("Content-Range",),
    429: ("Retry-After", *BUDGET),
    503: ("Retry-After", *BUDGET),
    507: ("Retry-After", *BUDGET),
}
WAIT_IN_FLIGHT = {"description": "Seconds to wait, of `request_in_flight`.", "schema": NUMBER}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "For 24 hours the same key and request get the same answer and have one effect. "
        "Where no token is needed it must be one that nobody else chooses."
    ),
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
IF_MATCH_HEADER = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` of the revision to change; the answer is 412 when it is at another one.",
    "schema": {"type": "string", "pattern": f"^(?:{IF_MATCH})$"},
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The `token` of a sign-in.",
}


@cache
def schema() -> dict[str, Any]:
    described = Generator().get_schema(public=True)
    described["components"]["headers"] = {name: _header(name) for name in HEADERS}
    described["components"]["securitySchemes"] = {"bearer": BEARER}
    return described


@cache
def as_json() -> bytes:
    return orjson.dumps(schema())


@cache
def as_yaml() -> bytes:
    return OpenApiYamlRenderer().render(schema(), renderer_context={})


class CallSchema(AutoSchema):
    """One operation, from its `Call` and what its viewset and method say."""

    @property
    def call(self) -> Call:
        return self.view.calls[self.view.action]

    @property
    def is_counted(self) -> bool:
        return isinstance(self.view, SignedInViewSet | StrangerViewSet)

    @property
    def is_write(self) -> bool:
        return self.method not in READING_METHODS

    @property
    def takes_key(self) -> bool:
        return self.is_write and self.view.takes_keys

    def get_operation_id(self) -> str:
        first, *others = re.sub(r"\b(an?|the) ", "", self.call.summary).split()
        return first.lower() + "".join(word.capitalize() for word in others)

    def get_summary(self) -> str:
        return self.call.summary

    def get_description(self) -> str:
        return self.call.details

    def get_tags(self) -> list[str]:
        tag = self.path.removeprefix("/api").split("/")[1]
        named = {"auth", "sessions", "messages", "search", "images", "uploads", "media", "sync"}
        return [tag if tag in named else "server"]

    def get_auth(self) -> list[dict[str, Any]]:
        if isinstance(self.view, SignedInViewSet):
            return [{"bearer": []}]
        return [{"bearer": []}, {}] if self.call.knows_token else []

    def _map_serializer_field(self, field: Any, direction: str, bypass_extensions: bool = False) -> Any:
        described = super()._map_serializer_field(field, direction, bypass_extensions)
        described.pop("x-spec-enum-id", None)  # for a hook of drf-spectacular that is not in use
        return described

    # ---- what it takes
    def _get_parameters(self) -> list[dict[str, Any]]:
        names = re.findall(r"{(\w+)}", self.path)
        in_path = {name: self.call.path.get(name, _id_named(name)) for name in names}
        query = self._parameters(self.call.query, "query")
        return [*self._parameters(in_path, "path"), *query, *self._header_parameters()]

    def _header_parameters(self) -> Iterator[dict[str, Any]]:
        if self.takes_key:
            yield IDEMPOTENCY_KEY
        if self.call.takes_if_match:
            yield IF_MATCH_HEADER

    def _parameters(self, fields: Fields, place: str) -> Iterator[dict[str, Any]]:
        described = self._map_serializer(_serializer("Parameters", fields)(), "request")
        for name, content in described.get("properties", {}).items():
            is_required = name in described.get("required", [])
            content |= content.pop("oneOf", [{}])[0]  # the other one says that it may be empty
            if place == "query" and "pattern" in content:
                content = _or_empty(content)
            parameter = {"name": name, "in": place, "description": content.pop("description")}
            yield parameter | ({"required": True} if is_required else {}) | {"schema": content}

    def _get_request_body(self, direction: str = "request") -> dict[str, Any] | None:
        call = self.call
        if call.content:
            return {"content": {media_type: {} for media_type in call.content}, "required": True}
        if call.body is None and call.form is None:
            return None
        if call.form is None:
            body, media_type = call.body, JSON
        else:
            fields = call.body().fields if call.body else {}
            body = _serializer(f"{self._name}Form", {**call.form, **fields})
            media_type = FORM
        component = self.resolve_serializer(body, "request")
        is_required = bool(component.schema.get("required"))
        return {"content": {media_type: {"schema": component.ref}}, "required": is_required}

    # ---- what it answers
    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        described = {
            str(status): self._answer(answer, f"{self._name}Answer{status}")
            for status, answer in self.call.other_answers.items()
        }
        if self.call.answer is not None:
            answer = Answer(self.call.answer, headers=("ETag",) if self.call.has_etag else ())
            described[str(self.call.status)] = self._answer(answer, f"{self._name}Answer")
        by_status: dict[int, list[type[APIError]]] = {}
        for error in dict.fromkeys(self._errors()):
            by_status.setdefault(error.status, []).append(error)
        problems = {str(status): self._problem(classes) for status, classes in by_status.items()}
        return dict(sorted((problems | described).items()))

    def _answer(self, answer: Answer, name: str) -> dict[str, Any]:
        headers = [*answer.headers, *(BUDGET if self.is_counted else ())]
        if self.takes_key:
            headers.append("Idempotent-Replayed")
        if isinstance(self.view, SignedInViewSet):
            headers.append("X-Sync-Cursor")
        described: dict[str, Any] = {"description": answer.description, "headers": _headers(headers)}
        if answer.fields:
            component = self.resolve_serializer(_serializer(name, answer.fields), "response")
            described["content"] = {JSON: {"schema": component.ref}}
        elif answer.media_types:
            described["content"] = {media_type: {} for media_type in answer.media_types}
        return described

    def _errors(self) -> Iterator[type[APIError]]:
        call = self.call
        yield from (errors.BadRequest, errors.PayloadTooLarge, APIError)
        if call.query or call.body or self.takes_key:
            yield errors.ValidationFailed
        if call.body or call.form:
            yield from (errors.MalformedBody, errors.UnsupportedMedia)
        if isinstance(self.view, SignedInViewSet):
            yield from (errors.Unauthorized, errors.TokenInvalid)
        if "{" in self.path:
            yield errors.NotFound
        if self.is_counted:
            yield from (errors.TooManyRequests, errors.ServiceUnavailable)
        if self.is_counted and self.is_write:
            yield from (errors.Conflict, errors.StorageFull)
        if call.takes_if_match:
            yield errors.PreconditionFailed
        if self.takes_key:
            yield from (errors.RequestInFlight, errors.IdempotencyMismatch)
        yield from call.errors

    def _problem(self, classes: list[type[APIError]]) -> dict[str, Any]:
        """A reference to the answer of one status, which says one of these errors."""
        name = "Or".join(error.__name__ for error in classes)
        component = ResolvedComponent(name, "responses", object=name)
        if component not in self.registry:
            self.registry.register(component)
            base = self.resolve_serializer(ErrorSerializer, "response").ref
            headers = _headers(HEADERS_OF_ERROR.get(classes[0].status, BUDGET))
            if errors.RequestInFlight in classes:
                headers["Retry-After"] = WAIT_IN_FLIGHT
            codes = {"properties": {"error": {"enum": [error.code for error in classes]}}}
            component.schema = {
                "description": "\n\n".join(f"`{error.code}`: {error.message}" for error in classes),
                "headers": headers,
                "content": {JSON: {"schema": {"allOf": [base, codes]}}},
            }
        return self.registry[component].ref

    @property
    def _name(self) -> str:
        name = self.get_operation_id()
        return name[0].upper() + name[1:]


class Endpoints(EndpointEnumerator):
    """The addresses that have calls: not the one that catches what nobody else knows."""

    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        return bool(callback.cls.calls)


class Generator(SchemaGenerator):
    endpoint_inspector_cls = Endpoints

    def coerce_path(self, path: str, method: str, view: Any) -> str:
        """`{session_id}` as `{sessionId}`, as clients know it."""
        return re.sub(r"_([a-z])", lambda match: match[1].upper(), path)

    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        view = super().create_view(callback, method, request)
        self._set_schema_to_view(view, CallSchema())
        return view


class IdFieldExtension(OpenApiSerializerFieldExtension):
    target_class = IdField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        return ULID


class FileFieldExtension(OpenApiSerializerFieldExtension):
    target_class = serializers.FileField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        return {"type": "string", "format": "binary"}


class MomentFieldExtension(OpenApiSerializerFieldExtension):
    target_class = MomentField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        return MOMENT


def _serializer(name: str, fields: Fields) -> type[serializers.Serializer]:
    return cast(type[serializers.Serializer], type(name, (serializers.Serializer,), dict(fields)))


def _or_empty(content: dict[str, Any]) -> dict[str, Any]:
    """An empty parameter is as good as none."""
    without_length = {name: value for name, value in content.items() if name != "minLength"}
    return without_length | {"pattern": f"^$|{content['pattern']}"}


def _id_named(name: str) -> serializers.Field:
    return IdField(help_text=f"The id of the {name.removesuffix('Id')}.")


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in chain(["X-Request-Id"], names)}


def _header(name: str) -> dict[str, Any]:
    description, content = HEADERS[name]
    return {"description": description, "required": name in ALWAYS_THERE, "schema": content}
