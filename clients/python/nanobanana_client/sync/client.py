"""Keeps a device in step: by a socket, by long poll where there can be none, and back again."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from nanobanana_client.api.events import LONGEST_WAIT
from nanobanana_client.decoding import decode
from nanobanana_client.errors import ApiError
from nanobanana_client.models import LogPage
from nanobanana_client.retries import Backoff
from nanobanana_client.sync import notices
from nanobanana_client.sync.cursors import is_news
from nanobanana_client.sync.inbox import Handler, Inbox, logger
from nanobanana_client.sync.notices import NoticeType, Status
from nanobanana_client.sync.partial import completed
from nanobanana_client.sync.session_ids import checked
from nanobanana_client.sync.sockets import CUT, Frame, Socket, SocketClosed, address_of
from nanobanana_client.sync.typists import Typists

if TYPE_CHECKING:
    from nanobanana_client.client import NanobananaClient

SILENCE = 75.0  # seconds; the server pings every 30
UNOPENED_SOCKETS = 3  # in a row, then long poll
SOCKETS_AGAIN = 60.0  # seconds of long poll, then a socket is tried
OF_A_SESSION = ("message_", "image_")  # events that only devices in the session hear
UNAUTHORIZED = 4401
NOT_FOUND = 4404  # of the session in the address; to those of `join` it says nothing
FINAL = {
    UNAUTHORIZED: ApiError(401, "token_invalid", "The device was signed out."),
    4403: ApiError(403, "forbidden", "The page's origin is not allowed, or the token is another user's."),
}
UNWELCOME = {401, 403}  # all else may be otherwise later
REFUSALS_OF_A_JOIN = {"not_found", "conflict"}


class Stopped(Exception):
    """Before what came could be handed over."""


class SyncClient:
    """Tells what other devices do, each change once and in order, through all interruptions.

    `cursor` is the position up to which everything has been handled: keep it, and a later SyncClient with
    `since=` it goes on from there. `session_ids` are the sessions whose messages and pictures are heard.
    """

    def __init__(
        self,
        client: "NanobananaClient",
        session_ids: Iterable[str],
        *,
        since: str | None = None,
        backoff: Backoff | None = None,
        silence: float = SILENCE,
        unopened_sockets: int = UNOPENED_SOCKETS,
        sockets_again: float = SOCKETS_AGAIN,
    ) -> None:
        self.cursor = since or None
        self.status: Status = "connecting"
        self.session_ids = checked(session_ids)
        if not self.session_ids:
            raise ValueError("A socket belongs to a session: name one at least.")
        self._client = client
        self._backoff = backoff or Backoff(first=1)
        self._silence = silence
        self._unopened_sockets, self._sockets_again = unopened_sockets, sockets_again
        self._inbox = Inbox()
        self._typists = Typists(lambda typing: self._inbox.tell("user_typing", typing))
        self._position = self.cursor  # received, and perhaps not handled yet
        self._unconfirmed: set[str] = set()  # joined, and not told yet
        self._in_doubt: list[set[str]] = []  # for each ping that is not answered, what was unconfirmed then
        self._asked_for: list[str] = []  # in the address of this socket
        self._failures = 0
        self._unopened = 0
        self._refusals = 0
        self._polling_until = 0.0
        self._socket: Socket | None = None
        self._poll: asyncio.Task[None] | None = None
        self._completing: asyncio.Task[notices.Change | None] | None = None
        self._working: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._woken = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()

    # ---- for the application
    def on(self, type: NoticeType, handler: Handler) -> Callable[[], None]:
        """Have a function called, or awaited; the answer takes it away again. `change` is every change."""
        return self._inbox.on(type, handler)

    def start(self) -> None:
        """Run beside; why it ends is told to the handlers of `ended`."""
        self._running = asyncio.create_task(self.run())
        self._running.add_done_callback(_report)

    async def run(self) -> None:
        """Until `stop`; raises ApiError when the server does not take this device any more."""
        self._working = asyncio.create_task(self._keep_in_step())
        delivering = asyncio.create_task(self._inbox.deliver())
        try:
            await self._working
        except asyncio.CancelledError:
            if not self._is_stopped:  # whoever awaits this was cancelled
                self._is_stopped = True
                raise
        except ApiError as error:
            self._inbox.tell("ended", notices.Ended(error))
            raise
        finally:
            self._end()
            await delivering

    def stop(self) -> None:
        """For good. No handler is called after the one that runs; `cursor` is where to go on from."""
        self._is_stopped = True
        self._stop_delivering()
        if self._working:
            self._working.cancel()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._running:
            await asyncio.wait([self._running])

    def join(self, session_id: str) -> None:
        """Hear of this session as well, in all connections to come; `joined_session` says from when on.

        ValueError for what is no id, and for one too many.
        """
        if session_id in self.session_ids:
            return
        self.session_ids = checked([*self.session_ids, session_id])
        self._unconfirmed.add(session_id)
        self._say("join_session", sessionId=session_id)
        self._poll_anew()

    def leave(self, session_id: str) -> None:
        if session_id not in self.session_ids:
            return
        self._forget(session_id)
        self._say("leave_session", sessionId=session_id)
        self._poll_anew()

    def typing(self, session_id: str, is_typing: bool = True) -> None:
        """Call it with every key that is pressed; it is sent every other second."""
        if self._socket and self._typists.should_say(session_id, is_typing):
            self._say("typing", sessionId=session_id, isTyping=is_typing)

    def wake(self) -> None:
        """Do not wait before the next attempt: the network is back."""
        self._woken.set()

    # ---- connections
    async def _keep_in_step(self) -> None:
        while not self._is_stopped:
            retry_after = None
            try:
                if self._is_polling:
                    await self._poll_in_turns()
                    continue
                code = await self._listen()
                if code == NOT_FOUND or self._is_polling:
                    continue
            except ApiError as error:
                if error.status in UNWELCOME:
                    raise
                if not error.may_pass:
                    logger.warning("A SyncClient does not get on: %s", error)
                retry_after = error.retry_after
            except Exception:  # of the application's TokenStore, say: it may pass as well
                logger.exception("A SyncClient does not get on")
            await self._pause(retry_after)

    @property
    def _is_polling(self) -> bool:
        """A socket belongs to a session: without any there is none."""
        return not self.session_ids or asyncio.get_running_loop().time() < self._polling_until

    async def _pause(self, retry_after: float | None) -> None:
        self._set_status("waiting")
        delay = self._backoff.delay(self._failures, retry_after)
        self._failures += 1
        try:
            async with asyncio.timeout(delay):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _listen(self) -> int:
        """One socket, until it closes; the code it was closed with."""
        if self.status != "polling":
            self._set_status("connecting")
        ticket = await self._client.accounts.socket_ticket(retries=0)
        self._asked_for = self.session_ids.copy()
        if not self._asked_for:  # all were left meanwhile
            return CUT
        url = self._client.transport.url
        was_connected = False
        try:
            socket = await Socket.open(address_of(url, self._asked_for, ticket.ticket, self._position))
            try:
                while True:
                    frame = await socket.receive(self._silence)
                    if frame["type"] == "connected":
                        was_connected, self._socket = True, socket
                    await self._receive(frame)
            finally:
                self._socket = None
                await socket.close()
        except SocketClosed as closed:
            self._closed(closed.code, was_connected)
            return closed.code

    def _closed(self, code: int, was_connected: bool) -> None:
        """Decide what follows: the end, long poll, or the next attempt."""
        self._refusals = self._refusals + 1 if code == UNAUTHORIZED and not was_connected else 0
        # A token that ended while the socket lived is renewed by the next call for a ticket.
        if code in FINAL and (code != UNAUTHORIZED or self._refusals > 1):
            raise FINAL[code]
        if code == NOT_FOUND:
            self._lose(self._asked_for[0])
        if code == CUT and not was_connected:
            self._unopened += 1
        if self._unopened >= self._unopened_sockets:
            self._polling_until = asyncio.get_running_loop().time() + self._sockets_again

    async def _receive(self, frame: Frame) -> None:
        match frame["type"]:
            case "ping":
                self._say("pong")
                self._advance(frame["cursor"])
            case "connected":
                self._connected(frame)
            case "resync_required":
                self._resync(frame["cursor"])
            case "token_expired":
                self._spawn(self._renew_token())
            case "joined_session":
                self._confirm(frame["sessionId"])
            case "left_session":
                self._inbox.tell("left_session", notices.Left(frame["sessionId"]))
            case "user_typing":
                self._typists.hear(decode(notices.Typing, frame))
            case "presence":
                presence = decode(notices.Presence, {**frame, **frame["payload"]})
                self._inbox.tell("presence", presence)
            case "error":
                self._hear_error(frame)
            case "pong":
                self._drop_refused()
            case _:
                self._take(frame)

    def _connected(self, frame: Frame) -> None:
        self._failures = self._unopened = self._refusals = 0
        self._in_doubt.clear()
        self._set_status("live")
        if self._position is None:  # else it moves with what is missed, or with resync_required
            self._advance(frame["cursor"])
        self._inbox.tell("connected", decode(notices.Connected, frame))
        self._compare_sessions(frame["sessionIds"])

    def _compare_sessions(self, there: list[str]) -> None:
        """What was joined or left meanwhile is said now; what the server left out is gone."""
        for session_id in set(there) - set(self.session_ids):
            self._say("leave_session", sessionId=session_id)
        for session_id in [wanted for wanted in self.session_ids if wanted not in there]:
            if session_id in self._asked_for:
                self._lose(session_id)
            else:
                self._say("join_session", sessionId=session_id)
        for session_id in self._unconfirmed.intersection(there):
            self._confirm(session_id)

    def _confirm(self, session_id: str) -> None:
        self._unconfirmed.discard(session_id)
        self._inbox.tell("joined_session", notices.Joined(session_id))

    def _forget(self, session_id: str) -> None:
        self.session_ids.remove(session_id)
        self._unconfirmed.discard(session_id)

    def _lose(self, session_id: str) -> None:
        """It is gone, or was never there; perhaps it was left just now."""
        if session_id in self.session_ids:
            self._forget(session_id)
            self._inbox.tell("left_session", notices.Left(session_id))

    def _hear_error(self, frame: Frame) -> None:
        self._inbox.tell("error", ApiError(0, frame["code"], frame["message"], details=frame.get("details")))
        # It does not say what it answers. Answers come in order, though: what was joined before this ping and
        # is not confirmed before its pong was refused.
        if self._unconfirmed and frame["code"] in REFUSALS_OF_A_JOIN:
            self._in_doubt.append(self._unconfirmed.copy())
            self._say("ping")

    def _drop_refused(self) -> None:
        for session_id in self._in_doubt.pop(0) & self._unconfirmed:
            self._forget(session_id)

    # ---- long poll
    async def _poll_in_turns(self) -> None:
        """Once; `join` and `leave` begin it anew."""
        self._set_status("polling")
        self._poll = asyncio.create_task(self._poll_once())
        try:
            await asyncio.wait([self._poll])
        finally:
            self._poll.cancel()
        if not self._poll.cancelled():
            self._poll.result()

    async def _poll_once(self) -> None:
        asked_for = self._unconfirmed.copy()
        page = await self._next_page()
        self._failures = 0
        for session_id in asked_for & self._unconfirmed:
            self._confirm(session_id)
        for frame in page.events:
            self._take(frame)
        if page.resync_required:
            self._resync(page.cursor)
        self._advance(page.cursor)

    async def _next_page(self) -> LogPage:
        """What came; what the server cannot read as a position is one from which too much was missed."""
        try:
            return await self._page_since(self._position)
        except ApiError as error:
            if error.status != 400 or "since" not in error.details:
                raise
        return replace(await self._page_since(None), resync_required=True)

    async def _page_since(self, position: str | None) -> LogPage:
        return await self._client.events.since(
            position, session_ids=self.session_ids, wait=self._seconds_to_poll, retries=0
        )

    @property
    def _seconds_to_poll(self) -> int:
        if self._unconfirmed:
            return 0  # the answer confirms them
        if not self.session_ids:
            return LONGEST_WAIT
        remaining = self._polling_until - asyncio.get_running_loop().time()
        return max(1, min(LONGEST_WAIT, math.ceil(remaining)))

    def _poll_anew(self) -> None:
        if self._poll:
            self._poll.cancel()

    # ---- what came
    def _take(self, frame: Frame) -> None:
        """A data frame: once, however often it comes."""
        if "cursor" not in frame or not is_news(frame["cursor"], self._position):
            return
        if frame["type"].startswith(OF_A_SESSION) and frame["sessionId"] not in self.session_ids:
            return self._advance(frame["cursor"])  # left just now
        self._position = frame["cursor"]
        change, is_partial = notices.change_of(frame), frame["payload"].get("partial", False)
        self._inbox.put(lambda: self._hand_over(change, is_partial))

    async def _hand_over(self, change: notices.Change, is_partial: bool) -> None:
        try:
            whole = await self._whole(change) if is_partial else change
        except Stopped:  # who goes on from `cursor` hears of it
            return
        except ApiError:  # what it was cannot be had: then everything is to be loaded anew
            await self._inbox.call("resynced", notices.Resynced(change.cursor))
            whole = None
        if whole:
            await self._inbox.call(change.type, whole)
            await self._inbox.call("change", whole)
        self.cursor = change.cursor

    async def _whole(self, change: notices.Change) -> notices.Change | None:
        self._completing = asyncio.create_task(completed(self._client, change, self._backoff))
        try:
            await asyncio.wait([self._completing])
        finally:
            self._completing.cancel()
        if self._is_stopped:
            raise Stopped
        return self._completing.result()

    def _advance(self, cursor: str) -> None:
        """Past what this device need not hear of."""
        if is_news(cursor, self._position):
            self._position = cursor
            self._inbox.put(lambda: self._handled(cursor))

    def _resync(self, cursor: str) -> None:
        self._position = cursor
        self._inbox.tell("resynced", notices.Resynced(cursor))
        self._inbox.put(lambda: self._handled(cursor))

    async def _handled(self, cursor: str) -> None:
        self.cursor = cursor

    # ---- the rest
    async def _renew_token(self) -> None:
        """In place, a minute before the old one ends; should it fail, the next connection tries again."""
        try:
            token = await self._client.accounts.refresh()
        except ApiError:
            return
        if token:
            self._say("authenticate", token=token)

    def _set_status(self, status: Status) -> None:
        if status != self.status:
            self.status = status
            self._inbox.tell("status", notices.StatusChange(status))

    def _say(self, type: str, **payload: Any) -> None:
        if self._socket:
            self._spawn(self._socket.send(type, **payload))

    def _spawn(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _end(self) -> None:
        self._typists.close()
        for errand in self._errands:
            errand.cancel()
        self._set_status("ended")
        if self._is_stopped:
            self._stop_delivering()
        else:
            self._inbox.close(at_once=False)

    def _stop_delivering(self) -> None:
        self._inbox.close(at_once=True)
        if self._completing:
            self._completing.cancel()


def _report(running: asyncio.Task[None]) -> None:
    """Of what ended a SyncClient that nobody awaits, all but what `ended` tells is a bug."""
    error = None if running.cancelled() else running.exception()
    if error and not isinstance(error, ApiError):
        logger.error("A SyncClient has failed", exc_info=error)
