"""Every event, once: its name, what it is about and who hears it.

Services emit events in the commit that makes the change; `realtime` delivers them. An event about a message
or an image is heard by the devices in its session, the others by all devices of the user. The payload is what
REST would answer: `{session}`, `{message}`, `{image}` or `{user}`; for a deletion, and for an object too
large for the log (`partial: true`), the ids alone.
"""

from dataclasses import dataclass
from typing import ClassVar

EVERY_DEVICE = ""


@dataclass(frozen=True, kw_only=True)
class Event:
    type: ClassVar[str]

    @property
    def audience(self) -> str:
        """The id of the session whose devices hear it, or EVERY_DEVICE."""
        return EVERY_DEVICE

    @property
    def ids(self) -> dict[str, str]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class UserEvent(Event):
    user_id: str

    @property
    def ids(self) -> dict[str, str]:
        return {"userId": self.user_id}


@dataclass(frozen=True, kw_only=True)
class SessionEvent(Event):
    session_id: str

    @property
    def ids(self) -> dict[str, str]:
        return {"sessionId": self.session_id}


@dataclass(frozen=True, kw_only=True)
class MessageEvent(Event):
    session_id: str
    message_id: str

    @property
    def audience(self) -> str:
        return self.session_id

    @property
    def ids(self) -> dict[str, str]:
        return {"sessionId": self.session_id, "messageId": self.message_id}


@dataclass(frozen=True, kw_only=True)
class ImageEvent(Event):
    session_id: str
    image_id: str

    @property
    def audience(self) -> str:
        return self.session_id

    @property
    def ids(self) -> dict[str, str]:
        return {"sessionId": self.session_id, "imageId": self.image_id}


class UserUpdated(UserEvent):
    type = "user_updated"


class SessionCreated(SessionEvent):
    type = "session_created"


class SessionUpdated(SessionEvent):
    type = "session_updated"


class SessionDeleted(SessionEvent):
    type = "session_deleted"


class SessionRestored(SessionEvent):
    type = "session_restored"


class MessageCreated(MessageEvent):
    type = "message_created"


class MessageUpdated(MessageEvent):
    type = "message_updated"


class MessageDeleted(MessageEvent):
    type = "message_deleted"


class ImageCreated(ImageEvent):
    type = "image_created"


class ImageUpdated(ImageEvent):
    type = "image_updated"


class ImageDeleted(ImageEvent):
    type = "image_deleted"
