"""GET /api/schema, GET /api/docs and docs/openapi.yaml"""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.urls import URLPattern, URLResolver, get_resolver
from openapi_spec_validator import validate

from media_store.views import IncomingViewSet
from nanobanana.documentation import MIMES, POLICY
from nanobanana.schema import as_yaml, schema
from nanobanana.views import UnknownViewSet
from tests.support.contract import check, checked_client
from tests.support.people import Person
from tests.support.web_server import WebServer

PROJECT = Path(__file__).resolve().parents[2]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def actions(patterns: list[Any] | None = None, prefix: str = "/") -> Iterator[tuple[str, str, Any, str]]:
    """(method, path of the schema, viewset, action) of every route but the one that catches the rest."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        address = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from actions(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern) and pattern.callback.cls is not UnknownViewSet:
            for method, action in pattern.callback.actions.items():
                yield method, _template(address), pattern.callback.cls, action


def _template(address: str) -> str:
    in_braces = re.sub(r"<\w+:(\w+)>", r"{\1}", address)
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), in_braces)


def operation_of(method: str, path: str) -> dict[str, Any]:
    return schema()["paths"][path][method]


def objects(content: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object of the schema that has described properties."""
    if isinstance(content, dict):
        if "properties" in content and content.get("type") == "object":
            yield content
        for inner in content.values():
            yield from objects(inner)
    elif isinstance(content, list):
        for inner in content:
            yield from objects(inner)


def test_it_is_valid_openapi() -> None:
    validate(schema())


def test_it_has_every_route_and_no_other() -> None:
    described = {(method, path) for method, path, _ in operations()}
    assert described == {(method, path) for method, path, _, _ in actions()}


def test_the_committed_file_is_what_the_command_prints() -> None:
    command = [sys.executable, "manage.py", "openapi"]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout
    assert printed == as_yaml()
    assert (PROJECT / "docs" / "openapi.yaml").read_bytes() == printed, "make openapi"


def test_the_version_is_the_project_s() -> None:
    assert f'version = "{schema()["info"]["version"]}"' in (PROJECT / "pyproject.toml").read_text()


def test_every_operation_field_parameter_and_header_is_explained() -> None:
    unexplained = [name for each in objects(schema()) for name in _unexplained(each["properties"])]
    parameters = [each for _, _, operation in operations() for each in operation.get("parameters", [])]
    unexplained += [each["name"] for each in parameters if not each.get("description")]
    headers = schema()["components"]["headers"]
    unexplained += [name for name, header in headers.items() if not header["description"]]
    unexplained += [path for _, path, operation in operations() if not operation.get("summary")]
    assert unexplained == []


def _unexplained(properties: dict[str, Any]) -> list[str]:
    return [name for name, content in properties.items() if not content.get("description")]


@pytest.mark.parametrize(("method", "path", "viewset", "action"), list(actions()))
def test_a_call_takes_what_its_action_reads(method: str, path: str, viewset: Any, action: str) -> None:
    source = inspect.getsource(getattr(viewset, action))
    call = viewset.calls[action]
    operation = operation_of(method, path)
    parameters = {each["name"] for each in operation.get("parameters", [])}
    takes_keys = method != "get" and viewset is not IncomingViewSet  # the same bytes put twice are the same
    assert ("Idempotency-Key" in parameters) == takes_keys
    assert ("self._form(" in source) == (call.form is not None)
    if call.form is None:
        read = re.search(r"self\.body\((\w+)\)", source)
        assert (read and read[1]) == (call.body and call.body.__name__)
    assert bool(call.query) == ("request.GET" in source)


async def test_it_is_served_as_json_and_as_yaml(server: WebServer) -> None:
    async with checked_client(server.url) as anybody:
        as_json = await anybody.get("/api/schema")
        written = await anybody.get("/api/schema?format=yaml")
        refused = await anybody.get("/api/schema?format=xml")
    assert as_json.headers["Content-Type"] == "application/json"
    assert written.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(written.text) == as_json.json() == schema()
    assert (refused.status_code, refused.json()["details"].keys()) == (400, {"format"})


async def test_the_page_has_what_it_needs_and_may_load_nothing_else(server: WebServer) -> None:
    async with checked_client(server.url) as anybody:
        page = await anybody.get("/api/docs")
        files = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
        answers = [await anybody.get(file) for file in files]
        missing = await anybody.get("/api/docs/swagger-ui.js")
    assert page.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert {file.rpartition("/")[2] for file in files} == MIMES.keys()
    assert {answer.status_code for answer in answers} == {200}
    assert missing.status_code == 404


async def test_the_page_s_files_are_kept_by_browsers(server: WebServer) -> None:
    async with checked_client(server.url) as anybody:
        first = await anybody.get("/api/docs/swagger-ui.css")
        again = await anybody.get(
            "/api/docs/swagger-ui.css", headers={"If-None-Match": first.headers["ETag"]}
        )
    assert "max-age=86400" in first.headers["Cache-Control"]
    assert (again.status_code, again.content) == (304, b"")


def test_serving_does_not_wait_for_the_generator() -> None:
    """drf-spectacular takes as long to load as half the server: only who asks for the schema loads it."""
    loaded = "import nanobanana.asgi, sys; assert 'drf_spectacular' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=PROJECT).returncode == 0


async def test_the_contract_notices_an_answer_that_is_not_described(alice: Person) -> None:
    def check_forged(content: Any, status: int = 200, **headers: str) -> None:
        check(httpx.Response(status, json=content, headers=headers, request=good.request))

    good = await alice.get("/api/auth/me")
    body = good.json()
    named = {"X-Request-Id": "1"}
    token_missing = {"error": "unauthorized", "message": "Sign in.", "requestId": "1"}
    check_forged(body, **named)
    check_forged(token_missing, 401, **named, **{"WWW-Authenticate": "Bearer"})
    for content, status, headers in [
        (body, 200, {}),
        (body, 201, named),
        (body, 200, {**named, "Retry-After": "1"}),
        ({}, 200, named),
        ({**body, "extra": 1}, 200, named),
        ({"user": {**body["user"], "password": "secret"}}, 200, named),
        ({"user": {**body["user"], "createdAt": "yesterday"}}, 200, named),
        (token_missing, 401, named),
        ({**token_missing, "error": "email_taken"}, 401, {**named, "WWW-Authenticate": "Bearer"}),
    ]:
        with pytest.raises(AssertionError):
            check_forged(content, status, **headers)
