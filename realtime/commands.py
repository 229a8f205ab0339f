"""What a client may say on a socket: each type of frame, its payload, and what it does."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
from rest_framework import serializers

from accounts.services.access import Visitor, authenticate
from chats.services.sessions import get_session
from nanobanana.errors import BadRequest, Conflict, Forbidden, MalformedBody, NotFound
from nanobanana.serializers import IdField, TextField, validate
from nanobanana.throttling import READS
from realtime import frames
from realtime.authentication import SESSIONS_OF_A_DEVICE
from realtime.frames import UserTyping
from realtime.hub import Hub
from realtime.indicators import TypingIndicators
from realtime.peer import Peer


class NoPayload(serializers.Serializer):
    """Whatever comes with the frame is ignored."""

    def run_validation(self, data: Any = None) -> dict[str, Any]:
        return {}


class SessionPayload(serializers.Serializer):
    sessionId = IdField(source="session_id")


class TokenPayload(serializers.Serializer):
    token = TextField(max_length=8192)


class TypingPayload(SessionPayload):
    isTyping = serializers.BooleanField(source="is_typing")


class Commands:
    """The commands of one connected device."""

    __slots__ = ("_hub", "_peer", "_renew", "_typing")

    def __init__(self, hub: Hub, peer: Peer, renew: Callable[[Visitor], None]) -> None:
        self._hub = hub
        self._peer = peer
        self._renew = renew
        self._typing: TypingIndicators | None = None  # of a device that types

    async def run(self, text: str) -> None:
        """Do what a frame says; raises what the caller answers as an `error` frame."""
        frame = parsed(text)
        command = COMMANDS.get(frame["type"])
        if command is None:
            raise BadRequest(f"There is no frame of this type; there are {', '.join(COMMANDS)}.")
        await command.run(self, **validate(command.payload, frame.get("payload")))

    def end(self) -> None:
        """The device has gone: others need not think that it is still typing."""
        if self._typing is not None:
            self._typing.stop_all()

    async def join_session(self, session_id: str) -> None:
        await get_session(user=self._peer.user, session_id=session_id)
        if len(self._peer.session_ids | {session_id}) > SESSIONS_OF_A_DEVICE:
            raise Conflict(f"A device can be in {SESSIONS_OF_A_DEVICE} sessions at once; leave one first.")
        self._peer.session_ids.add(session_id)
        self._hub.moved(self._peer)
        self._peer.send(frames.joined_session(session_id))

    async def leave_session(self, session_id: str) -> None:
        self._expect_joined(session_id)
        self._peer.session_ids.discard(session_id)
        self._hub.moved(self._peer)
        self._peer.send(frames.left_session(session_id))
        if self._typing is not None:
            await self._typing.stop(session_id)

    async def typing(self, session_id: str, is_typing: bool) -> None:
        self._expect_joined(session_id)
        if self._typing is None:
            self._typing = TypingIndicators(self._announce_typing, self._hub.background.spawn)
        if is_typing:
            await self._typing.start(session_id)
        else:
            await self._typing.stop(session_id)

    async def authenticate(self, token: str) -> None:
        visitor = await authenticate(token, READS)
        if visitor.user.id != self._peer.user.id:
            raise Forbidden("This token is another user's.")
        self._peer.become(visitor)
        self._hub.moved(self._peer)
        self._renew(visitor)
        self._peer.send(frames.authenticated(visitor.expires_at))

    async def ping(self) -> None:
        self._peer.send(frames.pong())

    async def pong(self) -> None:
        """A sign of life, as any frame is."""

    def _expect_joined(self, session_id: str) -> None:
        if session_id not in self._peer.session_ids:
            raise NotFound("This device is not in that session.")

    async def _announce_typing(self, session_id: str, is_typing: bool) -> None:
        announcement = UserTyping(
            type="user_typing",
            sessionId=session_id,
            userId=self._peer.user.id,
            deviceId=self._peer.device_id,
            connectionId=self._peer.connection_id,
            isTyping=is_typing,
            timestamp=frames.moment(),
        )
        await self._hub.publish(self._peer.user.id, frames.encode(announcement).text)


class Command(NamedTuple):
    payload: type[serializers.Serializer]
    run: Callable[..., Awaitable[None]]


COMMANDS = {
    "join_session": Command(SessionPayload, Commands.join_session),
    "leave_session": Command(SessionPayload, Commands.leave_session),
    "typing": Command(TypingPayload, Commands.typing),
    "authenticate": Command(TokenPayload, Commands.authenticate),
    "ping": Command(NoPayload, Commands.ping),
    "pong": Command(NoPayload, Commands.pong),
}


def parsed(text: str) -> dict[str, Any]:
    """The frame as an object with a `type`."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"The frame is not JSON: {error}.") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise BadRequest('A frame is a JSON object with a type, such as {"type": "ping"}.')
    return frame
