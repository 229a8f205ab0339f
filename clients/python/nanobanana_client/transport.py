"""Requests: with a token that is renewed in time, sent again when that is safe, errors as ApiError."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from nanobanana_client.errors import UNEXPECTED_ANSWER, ApiError, error_of, network_error
from nanobanana_client.retries import Backoff
from nanobanana_client.tokens import MemoryTokens, Tokens, TokenStore

READS = frozenset({"GET", "HEAD"})
LONGEST_RETRY_AFTER = 60.0  # seconds; a longer one is for the caller to decide on
LAST_RENEWAL = 5.0  # seconds that `close` gives a renewal: without its answer the tokens are lost
IN_FLIGHT = 409  # with Retry-After: the same request, sent before, is still being answered

Credentials = Literal["needed", "if there", "none"]
Query = Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    """`sync_cursor` is where the log stood: after a write its event, before a list what it may lack."""

    status: int
    body: Any
    sync_cursor: str | None


class Transport:
    def __init__(
        self,
        url: str,
        *,
        store: TokenStore | None = None,
        retries: int = 4,
        timeout: float = 30.0,
        backoff: Backoff | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.store = store or MemoryTokens()
        self._retries, self._timeout = retries, timeout
        self._backoff = backoff or Backoff()
        self._http = http or httpx.AsyncClient()
        self._renewals: dict[str, asyncio.Task[str | None]] = {}  # by the token that was refused
        self._rotation_key = ("", "")  # of a refresh token

    async def close(self) -> None:
        if self._renewals:
            await asyncio.wait(self._renewals.values(), timeout=LAST_RENEWAL)
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        keyed: bool = True,
        credentials: Credentials = "needed",
        retries: int | None = None,
        timeout: float | None = None,
        also_right: int | None = None,
    ) -> Answer:
        """The answer of a call. The attempts at a write share an `Idempotency-Key`: it has one effect.

        A write that may as well happen twice is not `keyed`: the server need not remember its answer.
        """
        request = self._http.build_request(
            method,
            self.url + path,
            params=_query_of(query),
            json=json,
            data=form,
            files=files,
            headers=headers,
            timeout=timeout or self._timeout,
        )
        if method not in READS and keyed:
            request.headers["Idempotency-Key"] = idempotency_key or secrets.token_urlsafe(16)
        response = await self._send_signed(
            request, credentials, self._retries if retries is None else retries
        )
        if not response.is_success and response.status_code != also_right:
            raise error_of(response)
        return Answer(response.status_code, _json_of(response), response.headers.get("X-Sync-Cursor"))

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """The bytes of a long answer, as they come."""
        request = self._http.build_request("GET", self.url + path, timeout=self._timeout)
        response = await self._send_signed(request, "needed", self._retries, stream=True)
        try:
            if not response.is_success:
                raise error_of(response)
            async for chunk in response.aiter_bytes():
                yield chunk
        except httpx.TransportError as error:
            raise network_error(error) from error
        finally:
            await response.aclose()

    async def put_bytes(self, url: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put something to an address that is signed, and so is for nobody's token."""
        request = self._http.build_request(
            "PUT", url, content=content, headers=headers, timeout=self._timeout
        )
        response = await self._send_patiently(request, self._retries, stream=False)
        if not response.is_success:
            raise error_of(response)

    async def renew(self, refused: str) -> str | None:
        """A token in the place of one that was refused; None when the device is signed out.

        One renewal for all who wait, and a task of its own: the server gives a refresh token up with its
        answer, so the new ones are kept although whoever asked was cancelled.
        """
        renewal = self._renewals.get(refused)
        if renewal is None:
            renewal = self._renewals[refused] = asyncio.create_task(self._renew(refused))
            renewal.add_done_callback(lambda _: self._renewals.pop(refused))
        return await asyncio.shield(renewal)

    async def _renew(self, refused: str) -> str | None:
        """Another process that shares the store may have been first: then the new token is there."""
        tokens = await self.store.load()
        if tokens is None or tokens.token != refused:
            return tokens.token if tokens else None
        renewed = await self._rotated(tokens)
        there = await self.store.load()
        if there != tokens:  # it was signed in or out meanwhile
            return there.token if there else None
        await self.store.save(renewed)
        return renewed.token if renewed else None

    async def _rotated(self, tokens: Tokens) -> Tokens | None:
        try:
            answer = await self.call(
                "POST",
                "/api/auth/refresh",
                json={"refreshToken": tokens.refresh_token},
                credentials="none",
                idempotency_key=self._key_to_rotate(tokens.refresh_token),
            )
        except ApiError as error:
            if error.status != 401:
                raise
            return None
        return Tokens.of(answer.body)

    def _key_to_rotate(self, refresh_token: str) -> str:
        """The same for all attempts with a refresh token, however late: shown again without, it is stolen.

        At random, so that nobody who finds the key learns of the token.
        """
        if self._rotation_key[0] != refresh_token:
            self._rotation_key = (refresh_token, secrets.token_urlsafe(16))
        return self._rotation_key[1]

    async def _send_signed(
        self, request: httpx.Request, credentials: Credentials, retries: int, *, stream: bool = False
    ) -> httpx.Response:
        tokens = None if credentials == "none" else await self.store.load()
        if tokens is None:
            return await self._send_patiently(request, retries, stream)
        request.headers["Authorization"] = f"Bearer {tokens.token}"
        response = await self._send_patiently(request, retries, stream)
        if credentials != "needed" or not _is_token_refused(response):
            return response
        renewed = await self.renew(tokens.token)
        if renewed is None:
            return response
        request.headers["Authorization"] = f"Bearer {renewed}"
        return await self._send_patiently(request, retries, stream)

    async def _send_patiently(self, request: httpx.Request, retries: int, stream: bool) -> httpx.Response:
        """Send it until there is an answer that another attempt would not change."""
        for attempt in range(retries):
            try:
                response = await self._send(request, stream)
            except ApiError:
                wait = self._backoff.delay(attempt)
            else:
                refused = error_of(response) if not response.is_success else None
                if refused is None or not _is_worth_repeating(refused):
                    return response
                wait = self._backoff.delay(attempt, refused.retry_after)
            await asyncio.sleep(wait)
        return await self._send(request, stream)

    async def _send(self, request: httpx.Request, stream: bool) -> httpx.Response:
        try:
            response = await self._http.send(
                request,
                stream=stream,
                follow_redirects=stream,  # to a cloud that keeps pictures; without the token
            )
            if stream and not response.is_success:
                await response.aread()
            return response
        except httpx.TransportError as error:
            raise network_error(error) from error


def _is_worth_repeating(error: ApiError) -> bool:
    soon = (error.retry_after or 0) <= LONGEST_RETRY_AFTER
    if error.status == IN_FLIGHT:
        return error.retry_after is not None and soon
    return error.status in {429, 503} and soon


def _json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise ApiError(response.status_code, UNEXPECTED_ANSWER, "The answer is not JSON.") from error


def _is_token_refused(response: httpx.Response) -> bool:
    return response.status_code == 401 and error_of(response).code == "token_invalid"


def _query_of(query: Query | None) -> dict[str, str]:
    """What is set, as text."""
    texts = {True: "true", False: "false"}
    return {
        name: texts[value] if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
