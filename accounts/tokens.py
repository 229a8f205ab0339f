"""Access and refresh tokens: the one place that knows how they are made (simplejwt) and what they say."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast

from django.conf import settings
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.exceptions import TokenError

from nanobanana.errors import TokenInvalid
from nanobanana.redisdb.ids import is_id

TOKENS_REMEMBERED = 4096  # of one process; a checked signature stays right, only the time has to be looked at


@dataclass(frozen=True)
class Claims:
    """What a token says, checked; `expires_at` is in Unix seconds."""

    user_id: str
    device_id: str
    expires_at: int


class AccessToken(tokens.Token):
    token_type = "access"
    lifetime = timedelta(seconds=settings.JWT_EXPIRES_IN)


class RefreshToken(tokens.Token):
    token_type = "refresh"
    lifetime = timedelta(seconds=settings.REFRESH_EXPIRES_IN)


def access_token(user_id: str, device_id: str) -> str:
    return _issue(AccessToken, user_id, device_id)


def refresh_token(user_id: str, device_id: str) -> str:
    return _issue(RefreshToken, user_id, device_id)


def read_access_token(token: str) -> Claims:
    """The claims of an access token; TokenInvalid when it is forged, expired, or no access token."""
    return _read(_access_claims, token)


def read_refresh_token(token: str) -> Claims:
    return _read(_refresh_claims, token)


def _issue(kind: type[tokens.Token], user_id: str, device_id: str) -> str:
    token = kind()
    token["userId"] = user_id
    token["deviceId"] = device_id
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
    return Claims(user_id, device_id, payload["exp"])
