"""Signed links: who holds one may read that picture until it expires, in an `<img>` too, without a token.

<PUBLIC_BASE_URL>/media/<userId>/<imageId>/<variant>?e=<expiry, unix seconds>&s=<signature>
"""

import hmac
import time
from binascii import b2a_base64
from datetime import datetime
from functools import cache, lru_cache

from django.conf import settings

from nanobanana.errors import Forbidden

KEY_LABEL = b"nanobanana media links v1"
WINDOWS_PER_LIFE = 8
LINKS_REMEMBERED = 8192  # of one process
SIGNATURE_BYTES = 16
SIGNATURE_LENGTH = 22  # characters: 16 bytes in base64 without padding
URL_SAFE = bytes.maketrans(b"+/", b"-_")


class LinkSigner:
    """Makes and checks links that live `life` seconds, or up to an eighth longer.

    All links to one thing made within such an eighth are the same, so that browsers can cache it.
    """

    def __init__(self, *, base_url: str, secret: str, life: int) -> None:
        self._address = f"{base_url}/media/"
        self._life = life
        self._window = max(1, life // WINDOWS_PER_LIFE)
        # A key of its own, so that signed links say nothing about what else the secret signs; mixed in once.
        self._hmac = hmac.new(hmac.digest(secret.encode(), KEY_LABEL, "sha256"), digestmod="sha256")
        self._signed = lru_cache(LINKS_REMEMBERED)(self._sign)

    def url(self, user_id: str, image_id: str, variant: str, now: float) -> str:
        expiry = (int(now) // self._window + 1) * self._window + self._life
        return self._signed(f"{user_id}/{image_id}/{variant}?e={expiry}")

    def verify(
        self, user_id: str, image_id: str, variant: str, expiry: str, signature: str, now: float
    ) -> int:
        return self.check(f"{user_id}/{image_id}/{variant}?e={expiry}", expiry, signature, now)

    def sign(self, signed: str) -> str:
        return self._signature(signed).decode()

    def check(self, signed: str, expiry: str, signature: str, now: float) -> int:
        expected = self._signature(signed)
        if not hmac.compare_digest(expected, signature.encode(errors="surrogatepass")):
            raise Forbidden("The link is not one of ours.")
        if int(expiry) <= now:
            raise Forbidden("The link has expired; fetch a new one.")
        return int(expiry)

    def _sign(self, signed: str) -> str:
        return f"{self._address}{signed}&s={self._signature(signed).decode()}"

    def _signature(self, signed: str) -> bytes:
        code = self._hmac.copy()
        code.update(signed.encode(errors="surrogatepass"))
        digest = code.digest()[:SIGNATURE_BYTES]
        return b2a_base64(digest, newline=False)[:SIGNATURE_LENGTH].translate(URL_SAFE)


def link_signer() -> LinkSigner:
    return _signer_for(settings.PUBLIC_BASE_URL, settings.JWT_SECRET, settings.MEDIA_URL_EXPIRES_IN)


@cache
def _signer_for(base_url: str, secret: str, life: int) -> LinkSigner:
    return LinkSigner(base_url=base_url, secret=secret, life=life)


def media_url(user_id: str, image_id: str, variant: str, *, now: float | None = None) -> str:
    """The link to one variant of a picture, good for at least MEDIA_URL_EXPIRES_IN."""
    return link_signer().url(user_id, image_id, variant, time.time() if now is None else now)


def upload_url(user_id: str, upload_id: str, expires_at: datetime) -> str:
    """Where who has it may put the bytes of this upload until then."""
    signed = f"uploads/{user_id}/{upload_id}?e={int(expires_at.timestamp())}"
    return f"{settings.PUBLIC_BASE_URL}/{signed}&s={link_signer().sign(signed)}"


def verify_upload(user_id: str, upload_id: str, expiry: str, signature: str) -> None:
    """Raises Forbidden when it is over, or when we did not sign this."""
    link_signer().check(f"uploads/{user_id}/{upload_id}?e={expiry}", expiry, signature, time.time())


def verify(
    user_id: str, image_id: str, variant: str, expiry: str, signature: str, *, now: float | None = None
) -> int:
    """The link's expiry in unix seconds. Raises Forbidden when it is over, or when we did not sign this."""
    now = time.time() if now is None else now
    return link_signer().verify(user_id, image_id, variant, expiry, signature, now)
