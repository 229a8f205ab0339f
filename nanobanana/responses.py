"""JSON answers, rendered at once: DRF's lazy ones cost a thread hop each."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase


def json_response(content: dict[str, Any], status: int = 200) -> HttpResponse:
    body = orjson.dumps(content)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return HttpResponse(body, status=status, headers=headers)


def set_headers(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        response.headers[name] = value
