"""`/api/schema` and `/api/docs`: the description of the calls, and a page of our own that shows it."""

import base64
import hashlib
import re
from pathlib import Path

import drf_spectacular_sidecar
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers

from media_store.storage.local import LocalStorage
from media_store.streaming import RangeNotSatisfiable, file_response
from nanobanana.calls import FILE_HEADERS, UNCHANGED, Answer, Call
from nanobanana.errors import NotFound, ValidationFailed
from nanobanana.pools import BoundedPool
from nanobanana.viewsets import ViewSet

MIMES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
DAY = 86_400  # seconds
PAGE = (Path(__file__).parent / "documentation.html").read_text(encoding="utf-8")
SCRIPT_HASH = base64.b64encode(
    hashlib.sha256(re.findall(r"<script>(.*?)</script>", PAGE)[0].encode()).digest()
).decode()
POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{SCRIPT_HASH}'",
        "style-src 'self'",
        "img-src 'self' data:",  # the style sheet has its icons in it
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_files = LocalStorage(
    Path(drf_spectacular_sidecar.__file__).parent / "static" / "drf_spectacular_sidecar" / "swagger-ui-dist"
)
_generator = BoundedPool("schema", threads=1, waiting=20)


class SchemaViewSet(ViewSet):
    calls = {
        "retrieve": Call(
            "Read the schema",
            query={
                "format": serializers.ChoiceField(
                    choices=("json", "yaml"), default="json", help_text="How to write it."
                )
            },
            other_answers={200: Answer(media_types=("application/json", "application/yaml"))},
        )
    }

    async def retrieve(self) -> HttpResponse:
        format = self.request.GET.get("format", "json")
        if format not in {"json", "yaml"}:
            raise ValidationFailed(details={"format": ["This must be json or yaml."]})
        return HttpResponse(await _generator.run(_written, format), content_type=f"application/{format}")


class DocumentationViewSet(ViewSet):
    calls = {
        "page": Call("Show the documentation", other_answers={200: Answer(media_types=("text/html",))}),
        "file": Call(
            "Read a file of the documentation",
            path={"name": serializers.ChoiceField(choices=tuple(MIMES), help_text="Which file.")},
            errors=(RangeNotSatisfiable,),
            other_answers={
                200: Answer(media_types=tuple(MIMES.values()), headers=FILE_HEADERS),
                206: Answer(media_types=tuple(MIMES.values()), headers=(*FILE_HEADERS, "Content-Range")),
                304: UNCHANGED,
            },
        ),
    }

    async def page(self) -> HttpResponse:
        return HttpResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    async def file(self, name: str) -> HttpResponseBase:
        if name not in MIMES:
            raise NotFound
        return await file_response(
            self.request,
            storage=_files,
            key=name,
            size=await _files.stat(name),
            mime=MIMES[name],
            etag=f'"{drf_spectacular_sidecar.__version__}"',
            max_age=DAY,
            filename=name,
        )


def _written(format: str) -> bytes:
    from nanobanana import schema  # takes as long as all the rest together, and few processes need it

    return schema.as_json() if format == "json" else schema.as_yaml()
