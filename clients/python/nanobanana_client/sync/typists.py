"""Who is typing: said not too often, and taken back when nothing more is heard."""

import asyncio
from collections.abc import Callable

from nanobanana_client.sync.notices import Typing

SAY_AGAIN = 2.0  # seconds; the server forgets after 6
BELIEVE = 7.0  # seconds; a killed server says nothing


class Typists:
    def __init__(self, tell: Callable[[Typing], None]) -> None:
        self._tell = tell
        self._said: dict[str, float] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def should_say(self, session_id: str, is_typing: bool) -> bool:
        """Whether this is to be sent; call it with every key that is pressed."""
        now = asyncio.get_running_loop().time()
        if not is_typing:
            return self._said.pop(session_id, None) is not None
        if now - self._said.get(session_id, -SAY_AGAIN) < SAY_AGAIN:
            return False
        self._said[session_id] = now
        return True

    def hear(self, typing: Typing) -> None:
        key = (typing.session_id, typing.connection_id)
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if typing.is_typing:
            over = Typing(typing.session_id, typing.device_id, typing.connection_id, is_typing=False)
            self._timers[key] = asyncio.get_running_loop().call_later(BELIEVE, self.hear, over)
        self._tell(typing)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._said.clear()
