"""What a device shows: loaded by REST when a session appears, then kept in step by its socket alone."""

from typing import Any

import orjson

from nanobanana.redisdb.event_log import Cursor
from tests.support.people import Device

KEPT_OF_MESSAGES = ("id", "sessionId", "role", "text", "params", "imageIds", "editedOf", "revision")


class Replica:
    """Sessions and their messages, as a front end would hold them."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.offset = 0
        self.sessions: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, dict[str, dict[str, Any]]] = {}

    async def open(self, session_id: str) -> None:
        """Connect, and load the session the socket is opened for."""
        connected = await self.device.listen(session_id)
        self.offset = Cursor.parse(connected["cursor"]).offset
        answer = await self.device.get(f"/api/sessions/{session_id}")
        await self._appear(answer.json()["session"])

    async def catch_up(self, cursor: str | None) -> None:
        """Hear everything up to this cursor, that of the latest change."""
        target = Cursor.parse(cursor).offset if cursor else 0
        while self.offset < target:
            await self._hear(await self.device.next_frame())

    async def _hear(self, frame: dict[str, Any]) -> None:
        if "cursor" in frame:
            self.offset = Cursor.parse(frame["cursor"]).offset
        payload = frame.get("payload", {})
        match frame["type"]:
            case "session_created" | "session_restored":
                await self._appear(payload["session"])
            case "session_updated":
                self.sessions[frame["sessionId"]] = payload["session"]
            case "session_deleted":
                self.sessions.pop(frame["sessionId"])
                self.messages.pop(frame["sessionId"])
            case "message_created" | "message_updated":
                message = payload.get("message") or await self._fetch(payload["messageId"])
                self.messages[frame["sessionId"]][message["id"]] = kept_of(message)
            case "message_deleted":
                self.messages[frame["sessionId"]].pop(payload["messageId"])
            case "error" | "resync_required":
                raise AssertionError(f"{self.device.name} was told {frame}.")

    async def _appear(self, session: dict[str, Any]) -> None:
        self.sessions[session["id"]] = session
        await self._join(session["id"])
        self.messages[session["id"]] = {
            message["id"]: kept_of(message) for message in await messages_of(self.device, session["id"])
        }

    async def _join(self, session_id: str) -> None:
        assert self.device.socket
        frame = {"type": "join_session", "payload": {"sessionId": session_id}}
        await self.device.socket.send(orjson.dumps(frame).decode())

    async def _fetch(self, message_id: str) -> dict[str, Any]:
        return (await self.device.get(f"/api/messages/{message_id}")).json()["message"]


def kept_of(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message only its own events change; the counts of its pictures change with other messages."""
    return {name: message[name] for name in KEPT_OF_MESSAGES if name in message}


async def messages_of(device: Device, session_id: str, **query: str) -> list[dict[str, Any]]:
    """All messages of a session, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        parameters = {"limit": "100", "cursor": cursor, **query}
        answer = (await device.get(f"/api/sessions/{session_id}/messages", params=parameters)).json()
        found += answer["messages"]
        cursor = answer["pagination"]["nextCursor"]
    return found
