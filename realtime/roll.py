"""Who of a user is in which session, as all processes together know it."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import orjson

from realtime.frames import Frame, Presence, PresentDevice, encode, moment_of


class Entry(NamedTuple):
    """One open socket: its device, and since when it is in which sessions, in ms since 1970."""

    connection_id: str
    device_id: str
    device_name: str
    sessions: dict[str, int]

    def encode(self) -> str:
        return orjson.dumps([*self]).decode()


class Roll:
    """The open sockets at one moment, in µs since 1970."""

    def __init__(self, moment: int, entries: Sequence[Entry]) -> None:
        self.moment = moment
        self.entries = entries
        self._sessions: dict[str, SessionRoll] = {}

    @classmethod
    def of(cls, moment: str, members: Sequence[str]) -> Self:
        """From what realtime/scripts/presence.lua answers."""
        return cls.parse(moment, f"[{','.join(members)}]")

    @classmethod
    def parse(cls, moment: str, members: str) -> Self:
        """From what it tells; ValueError or TypeError for anything else."""
        return cls(int(moment), [Entry(*member) for member in orjson.loads(members)])

    def devices_in(self, session_id: str) -> list[PresentDevice]:
        """The devices with a socket in the session, the longest there first."""
        since: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            if session_id in entry.sessions:
                device = (entry.device_id, entry.device_name)
                since[device] = min(entry.sessions[session_id], since.get(device, 2**53))
        return [
            PresentDevice(deviceId=device_id, name=name, since=moment_of(milliseconds / 1000))
            for milliseconds, device_id, name in sorted((ms, *device) for device, ms in since.items())
        ]

    def since(self, device_id: str, session_id: str) -> int | None:
        """Since when the device is in the session, with any socket."""
        moments = [
            entry.sessions[session_id]
            for entry in self.entries
            if entry.device_id == device_id and session_id in entry.sessions
        ]
        return min(moments, default=None)

    def frame_of(self, session_id: str) -> "SessionRoll":
        """What to tell the sockets in a session: one frame for all of them."""
        if session_id not in self._sessions:
            self._sessions[session_id] = self._frame_of(session_id)
        return self._sessions[session_id]

    def _frame_of(self, session_id: str) -> "SessionRoll":
        devices = self.devices_in(session_id)
        frame = Presence(type="presence", sessionId=session_id, payload={"devices": devices})
        return SessionRoll(
            frozenset((device["deviceId"], device["name"]) for device in devices), encode(frame)
        )


class SessionRoll(NamedTuple):
    """Who is in one session: a change of it is worth telling."""

    devices: frozenset[tuple[str, str]]
    frame: Frame
