"""`Idempotency-Key`: a write that is repeated under its key is done once, and answered as the first time.

A request claims its key, acts, and leaves its answer there for a day. A claim has a short life and is
renewed while its request runs, so that nobody waits long for a process that died. What such a process
committed is still known as an `Operation` (redisdb/unit_of_work.py).

Answers hold tokens, and the bodies that fingerprints are of hold passwords. Therefore claims and answers are
encrypted, by JWT_SECRET and the client's key, of which Redis has a hash alone.
"""

import asyncio
import base64
import hashlib
import logging
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError

from nanobanana.background import of_this_process
from nanobanana.errors import IdempotencyMismatch, RequestInFlight, ValidationFailed
from nanobanana.redisdb import scripts
from nanobanana.redisdb.keys import global_key, owner_key
from nanobanana.redisdb.scripts import Script
from nanobanana.redisdb.unit_of_work import CLIENT_OPERATION_KEPT, Operation

CLAIM_LIFE = 60_000  # milliseconds
ANSWER_LIFE = CLIENT_OPERATION_KEPT
PATTERN = re.compile(r"[\x21-\x7e]{1,255}")
FASTEST = 1  # of the levels of zlib
REPLAYED = {"Idempotent-Replayed": "true"}

logger = logging.getLogger(__name__)
_claim = Script(Path(__file__).parent / "scripts" / "claim_answer.lua")


@dataclass(frozen=True)
class KeyedRequest:
    """A request under a client's key, and the fingerprint of all that it asks for.

    `owner_id` is of the user whose key it is; without one it is anybody's, at this path.
    """

    key: str
    fingerprint: str
    path: str
    owner_id: str | None = None

    @property
    def operation(self) -> Operation:
        """What commits know it by."""
        return Operation(_digest(self.key), self.fingerprint)

    @property
    def answer_key(self) -> str:
        if self.owner_id:
            return owner_key(self.owner_id, "answer", _digest(self.key))
        return global_key("answer", _digest(f"{self.path}\n{self.key}"))


class AnswerManager:
    """What stands under the key of a request: its claim, then its answer; or those of another request."""

    def __init__(self, request: KeyedRequest) -> None:
        self.request = request
        self._cipher = _cipher_of(request)
        self._claim = self._seal({})

    async def claim(self) -> HttpResponse | None:
        """Claim the key; or give the answer of the request that was first.

        IdempotencyMismatch when that was another one, RequestInFlight while it runs.
        """
        worthless = b""
        while found := await self._try_to_claim(worthless):
            kept = self._open(found)
            if kept:
                return self._answer_of(*kept)
            worthless = found
        return None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep the claim alive inside."""
        renewing = asyncio.create_task(self._keep_renewing())
        try:
            yield
        finally:
            renewing.cancel()

    async def keep(self, response: HttpResponse) -> None:
        """Put the answer in the place of the claim, for a day."""
        head = {"status": response.status_code, "headers": dict(response.items())}
        await self._replace_claim(self._seal(head, response.content), ANSWER_LIFE)

    async def release(self) -> None:
        """Give the key up: the next request under it is the first one again."""
        if not await self._replace_claim(b"", ""):
            self.release_later()

    def release_later(self) -> None:
        """Redis is away: who tries again once it is back should not have to wait until the claim ends."""
        of_this_process.spawn(self._keep_releasing())

    async def _keep_releasing(self) -> None:
        for _ in range(CLAIM_LIFE // 1000):
            await asyncio.sleep(1)
            if await self._replace_claim(b"", ""):
                return

    async def _try_to_claim(self, worthless: bytes = b"") -> bytes:
        """b"" when the claim stands there, else what does."""
        found = await _claim([self.request.answer_key], [self._claim, CLAIM_LIFE, worthless])
        return found.encode("utf-8", "surrogateescape")

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(CLAIM_LIFE / 3 / 1000)
            try:
                await self._try_to_claim()
            except (RedisError, OSError) as error:
                logger.warning("A claim was not renewed: %s", error)

    async def _replace_claim(self, value: bytes, life: int | str) -> bool:
        """False when Redis is away: that undoes nothing that was done, and the claim ends by itself."""
        try:
            await scripts.replace_value([self.request.answer_key], [self._claim, value, life])
        except (RedisError, OSError) as error:
            logger.error("The answer under an Idempotency-Key was not kept: %s", error)
            return False
        return True

    def _seal(self, head: dict[str, Any], body: bytes = b"") -> bytes:
        described = orjson.dumps({"fingerprint": self.request.fingerprint, **head})
        # A day's answers are more than the day's messages: they are kept small.
        token = self._cipher.encrypt(zlib.compress(described + b"\n" + body, FASTEST))
        return base64.urlsafe_b64decode(token)

    def _open(self, sealed: bytes) -> tuple[dict[str, Any], bytes] | None:
        """Head and body; None of what is not by us, or from before the secret was changed."""
        try:
            content = zlib.decompress(self._cipher.decrypt(base64.urlsafe_b64encode(sealed)))
        except InvalidToken:
            return None
        described, _, body = content.partition(b"\n")
        return orjson.loads(described), body

    def _answer_of(self, head: dict[str, Any], body: bytes) -> HttpResponse:
        if head["fingerprint"] != self.request.fingerprint:
            raise IdempotencyMismatch
        if "status" not in head:
            raise RequestInFlight
        return HttpResponse(body, status=head["status"], headers=head["headers"] | REPLAYED)


async def answer_once(
    request: KeyedRequest, act: Callable[[], Awaitable[HttpResponseBase]]
) -> HttpResponseBase:
    """What `act` answers, or what it answered to the same request before. What fails may be tried again."""
    answers = AnswerManager(request)
    try:
        kept = await answers.claim()
    except (RedisError, OSError):  # it may stand there all the same
        answers.release_later()
        raise
    if kept:
        return kept
    try:
        async with answers.held():
            response = await act()
    except Exception:
        await answers.release()
        raise
    if isinstance(response, HttpResponse) and 200 <= response.status_code < 300:
        await answers.keep(response)
    else:
        await answers.release()
    return response


def checked_key(key: str) -> str:
    """What the header says; ValidationFailed when it is no key."""
    if not PATTERN.fullmatch(key):
        sentence = "This must be 1 to 255 printable characters without spaces."
        raise ValidationFailed(details={"Idempotency-Key": [sentence]})
    return key


def fingerprint_of(*parts: bytes) -> str:
    """Of the parts of a request, of which only the last one may have line breaks."""
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def _cipher_of(request: KeyedRequest) -> MultiFernet:
    """Encrypts by our secret; decrypts by the previous one as well, while the two change over."""
    secrets = filter(None, (settings.JWT_SECRET, settings.JWT_SECRET_PREVIOUS))
    return MultiFernet([Fernet(_derive(secret, request)) for secret in secrets])


def _derive(secret: str, request: KeyedRequest) -> bytes:
    """A key for this place alone: who can write to Redis cannot give one user the answer of another."""
    purpose = f"{request.answer_key}\n{request.key}".encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
    return base64.urlsafe_b64encode(derived)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
