"""Every answer of the suite, held against the schema: its status, headers, media type and body.

No object may have a field that the schema lacks, and no error a code that its operation lacks.
"""

import re
from functools import cache
from typing import Any

import httpx
from jsonschema_rs import Draft202012Validator

from nanobanana.schema import schema
from tests.support.quick_http import QuickTransport

JSON = "application/json"
NO_OPERATION = {404, 405}  # what an address or a method has that nobody described


async def checked(response: httpx.Response) -> None:
    """Raise AssertionError unless the schema describes this answer; for `event_hooks` of httpx."""
    if response.headers.get("content-type") == JSON:
        await response.aread()
    check(response)


def checked_client(base_url: str, **options: Any) -> httpx.AsyncClient:
    """A client whose every answer is checked."""
    options = {"timeout": 20, "transport": QuickTransport(), **options}
    return httpx.AsyncClient(base_url=base_url, event_hooks={"response": [checked]}, **options)


def check(response: httpx.Response) -> None:
    request = response.request
    path = request.url.raw_path.partition(b"?")[0].decode("ascii")
    template = template_of(path)
    method = {"HEAD": "get"}.get(request.method, request.method.lower())
    what = f"{request.method} {template or path} answered {response.status_code}"
    if template is None or method not in schema()["paths"][template]:
        assert response.status_code in NO_OPERATION or request.method == "OPTIONS", what
        return
    described = _answers(template, method).get(str(response.status_code))
    assert described, f"{what}, which the schema does not say: {response.text[:500]}"
    _check_headers(response, described.get("headers", {}), what)
    if request.method != "HEAD":
        _check_body(response, template, method, described.get("content", {}), what)


def template_of(path: str) -> str | None:
    """The path of the schema that a request's path is one of; fixed ones go first."""
    return next((template for template, pattern in _patterns() if pattern.fullmatch(path)), None)


def _check_headers(response: httpx.Response, described: dict[str, Any], what: str) -> None:
    ours = schema()["components"]["headers"]
    for name in ours:
        is_there = name in response.headers
        assert not is_there or name in described, f"{what} with {name}, which the schema does not say."
        is_required = "$ref" in described.get(name, {}) and ours[name]["required"]
        assert is_there or not is_required, f"{what} without {name}."


def _check_body(
    response: httpx.Response, template: str, method: str, content: dict[str, Any], what: str
) -> None:
    media_type = response.headers.get("content-type", "").partition(";")[0]
    assert media_type in (content or {""}), f"{what} as {media_type or 'nothing'}."
    validator = _validator(template, method, str(response.status_code), media_type)
    if validator:
        problems = [error.message for error in validator.iter_errors(response.json())]
        assert problems == [], f"{what} not as the schema says: {problems} {response.text[:500]}"


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    templates = sorted(schema()["paths"], key=lambda template: template.count("{"))
    return [(template, re.compile(re.sub(r"{\w+}", "[^/]+", template))) for template in templates]


@cache
def _answers(template: str, method: str) -> dict[str, Any]:
    answers = schema()["paths"][template][method]["responses"]
    return {status: _resolved(answer) for status, answer in answers.items()}


@cache
def _validator(template: str, method: str, status: str, media_type: str) -> Draft202012Validator | None:
    content = _answers(template, method)[status].get("content", {}).get(media_type, {}).get("schema")
    if media_type != JSON or not content:
        return None
    return Draft202012Validator({**content, "components": {"schemas": _closed()}}, validate_formats=True)


def _resolved(answer: dict[str, Any]) -> dict[str, Any]:
    name = answer.get("$ref", "").rpartition("/")[2]
    return schema()["components"]["responses"][name] if name else answer


@cache
def _closed() -> dict[str, Any]:
    """The objects of the schema, closed to what it does not describe."""
    return {
        name: {**component, "additionalProperties": False} if "properties" in component else component
        for name, component in schema()["components"]["schemas"].items()
    }
