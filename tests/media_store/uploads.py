"""What an upload leaves behind: keys of the storage, and forms that no client library would send."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import httpx

from media_store import decoding
from media_store.decoders.turns import Turns
from media_store.models import Image
from media_store.services.blobs import storage_key
from media_store.storage import get_storage
from media_store.variants import ORIGINAL, THUMB
from tests.support.people import Device

BOUNDARY = "boundary"


async def stored_keys(prefix: str) -> list[str]:
    """The keys of the storage below a user, or a user's image, without the user's id."""
    return sorted([key.partition("/")[2] async for key in get_storage().list(prefix)])


async def key_of(image: dict[str, Any], variant: str) -> str:
    """The storage key of a variant of a picture that was answered."""
    return storage_key(await Image.objects.aget(image["userId"], image["id"]), variant)


async def keys_of(image: dict[str, Any], *variants: str) -> list[str]:
    """What `stored_keys` says while these variants are stored, by default those that an upload stores."""
    keys = [await key_of(image, variant) for variant in variants or (ORIGINAL, THUMB)]
    return sorted(key.partition("/")[2] for key in keys)


async def post_form(
    device: Device, path: str, *parts: tuple[str, bytes], headers: dict[str, str] | None = None
) -> httpx.Response:
    """Send a form of hand-written parts: (Content-Disposition and further headers, content)."""
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return await device.request(
        "POST", path, content=form(*parts), headers={"Content-Type": content_type, **(headers or {})}
    )


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(b"--boundary\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return body + b"--boundary--\r\n"


def field(name: str, value: str) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', value.encode()


def file(name: str, filename: str, content: bytes) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="{filename}"', content


async def send_and_leave(device: Device, path: str, body: bytes, *, length: int) -> None:
    """Announce a form of `length` bytes, send `body` and hang up without waiting for the answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", device.server.port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {device.token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def until(condition: Any, patience: float = 5) -> None:
    """Wait until an asynchronous condition holds."""
    async with asyncio.timeout(patience):
        while not await condition():  # noqa: ASYNC110  # what changes is in another process
            await asyncio.sleep(0.02)


def large_turn() -> AbstractContextManager[None]:
    """Have large pictures wait, in whatever process they are decoded."""
    return Turns(decoding.decoders.turns, decoding.decoders.cores).large()
