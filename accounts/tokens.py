"""Access and refresh tokens: the one place that knows how they are made (simplejwt) and what they say.

Algorithm, key, issuer and audience are ours and not the token's to choose, whatever its header names.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.settings import api_settings

from nanobanana.errors import TokenInvalid
from nanobanana.redisdb.ids import is_id

TOKENS_REMEMBERED = 4096  # of one process; a checked signature stays right, only the time has to be looked at


@dataclass(frozen=True)
class Claims:
    """What a token says, checked; `expires_at` is in Unix seconds."""

    user_id: str
    device_id: str
    expires_at: int
    token_id: str = ""


class KeyRing(TokenBackend):
    """Signs with one secret; verifies with that or, while the two change over, the previous one."""

    def __init__(self, secret: str, previous: str) -> None:
        names = {"audience": api_settings.AUDIENCE, "issuer": api_settings.ISSUER}
        super().__init__(api_settings.ALGORITHM, secret, **names)
        self.previous = TokenBackend(api_settings.ALGORITHM, previous, **names) if previous else None

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        try:
            return super().decode(token, verify)
        except TokenBackendError:
            if self.previous is None:
                raise
            return self.previous.decode(token, verify)


class Token(tokens.Token):
    """A token of ours: signed with our keys."""

    _token_backend = KeyRing(api_settings.SIGNING_KEY, settings.JWT_SECRET_PREVIOUS)


class AccessToken(Token):
    token_type = "access"
    lifetime = timedelta(seconds=settings.JWT_EXPIRES_IN)


class RefreshToken(Token):
    token_type = "refresh"
    lifetime = timedelta(seconds=settings.REFRESH_EXPIRES_IN)


def access_token(user_id: str, device_id: str) -> str:
    return _issue(AccessToken, user_id, device_id)


def refresh_token(user_id: str, device_id: str, refresh_id: str) -> str:
    """The token that is good for one refresh of the device, as long as that is its `refresh_id`."""
    return _issue(RefreshToken, user_id, device_id, jti=refresh_id)


def read_access_token(token: str) -> Claims:
    """The claims of an access token; TokenInvalid when it is forged, expired, or no access token."""
    return _read(_access_claims, token)


def read_refresh_token(token: str) -> Claims:
    return _read(_refresh_claims, token)


def _issue(kind: type[Token], user_id: str, device_id: str, **claims: str) -> str:
    token = kind()
    token.payload.update(userId=user_id, deviceId=device_id, **claims)
    return str(token)


def _read(claims_of: Callable[[str], Claims], token: str) -> Claims:
    try:
        claims = claims_of(token)
    except (TokenError, UnicodeError, ValueError) as error:
        raise TokenInvalid from error
    if claims.expires_at <= time.time():
        raise TokenInvalid
    return claims


@lru_cache(TOKENS_REMEMBERED)
def _access_claims(token: str) -> Claims:
    return _claims(AccessToken(cast(Any, token)).payload)


@lru_cache(TOKENS_REMEMBERED)
def _refresh_claims(token: str) -> Claims:
    return _claims(RefreshToken(cast(Any, token)).payload)


def _claims(payload: dict[str, Any]) -> Claims:
    user_id, device_id = payload.get("userId", ""), payload.get("deviceId", "")
    if not is_id(user_id) or not is_id(device_id):
        raise ValueError("The token names no user or no device.")
    return Claims(user_id, device_id, payload["exp"], payload["jti"])
