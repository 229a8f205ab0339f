"""Forms with files (multipart/form-data), which are read in threads."""

import hashlib
import json

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.http.request import QueryDict
from django.utils.datastructures import MultiValueDict

from nanobanana.pools import BoundedPool

FORM = "multipart/form-data"

_readers = BoundedPool("multipart", threads=2, waiting=200)


async def read_form(request: HttpRequest) -> tuple[QueryDict, MultiValueDict]:
    """The fields and the files of a form."""
    return await _readers.run(_read, request)


async def digest_of_form(request: HttpRequest) -> bytes:
    """The same for the same fields and files: the body has a boundary that differs at each try."""
    return await _readers.run(_digest, request)


def _read(request: HttpRequest) -> tuple[QueryDict, MultiValueDict]:
    # A form sent in chunks has no length, and Django would take it for an empty one.
    request.META.setdefault("CONTENT_LENGTH", str(settings.MAX_FILE_SIZE))
    return request.POST, request.FILES


def _digest(request: HttpRequest) -> bytes:
    fields, files = _read(request)
    described = [(name, [_describe(file) for file in found]) for name, found in files.lists()]
    content = json.dumps([sorted(fields.lists()), sorted(described)])
    return hashlib.sha256(content.encode()).digest()


def _describe(file: UploadedFile) -> tuple[str, str]:
    """The file's name, which answers can repeat, and a digest of its content."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return str(file.name), digest.hexdigest()
