"""The tokens of a device, and where they are kept."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Tokens:
    token: str
    refresh_token: str

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Tokens":
        return cls(answer["token"], answer["refreshToken"])


class TokenStore(Protocol):
    """Keeps tokens between runs. A refresh token is good once, so `save` is called with every new one."""

    async def load(self) -> Tokens | None: ...

    async def save(self, tokens: Tokens | None) -> None:
        """None: signed out."""


class MemoryTokens:
    """Forgets them at the end of the process."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens

    async def load(self) -> Tokens | None:
        return self._tokens

    async def save(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
