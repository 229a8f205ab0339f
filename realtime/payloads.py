"""Events of the log as the frames that devices hear: payloads are what REST would answer."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from accounts.models import User
from accounts.serializers import render_user
from chats.models import Message, Session
from chats.serializers import render_message, render_session
from media_store.models import Image
from media_store.serializers import render_image
from nanobanana.redisdb.event_log import LogEntry
from nanobanana.redisdb.models import Model
from realtime.frames import DataEvent, Frame, encode, moment_of

logger = logging.getLogger(__name__)

MODELS: dict[str, type[Model]] = {model.kind: model for model in (User, Session, Message, Image)}


def data_frame(owner_id: str, entry: LogEntry) -> Frame:
    """The frame of an event; what cannot be read comes as its ids, for the device to fetch."""
    try:
        return _encoded(entry, payload_of(owner_id, entry))
    except Exception:
        logger.exception("Event %s of %s cannot be read", entry.cursor, owner_id)
        return _encoded(entry, partial_payload(entry))


def payload_of(owner_id: str, entry: LogEntry) -> dict[str, Any]:
    """`{session}`, `{message}` with its images, `{image}` or `{user}`; ids of what is gone or too large."""
    if entry.partial:
        return partial_payload(entry)
    if not entry.objects:
        return dict(entry.ids)
    subject, *others = [_instance(owner_id, key, pairs) for key, pairs in entry.objects]
    return {subject.kind: RENDERERS[subject.kind](subject, others)}


def partial_payload(entry: LogEntry) -> dict[str, Any]:
    return {**entry.ids, "partial": True}


def _encoded(entry: LogEntry, payload: dict[str, Any]) -> Frame:
    event = DataEvent(
        type=entry.type,
        sessionId=entry.ids.get("sessionId"),
        payload=payload,
        cursor=str(entry.cursor),
        timestamp=moment_of(entry.milliseconds / 1000),
    )
    return encode(event)


def _instance(owner_id: str, key: str, pairs: Sequence[str]) -> Model:
    _, kind, identifier = key.rsplit(":", 2)
    return MODELS[kind].from_hash(owner_id, identifier, pairs)


RENDERERS: dict[str, Callable[[Any, list[Any]], dict[str, Any]]] = {
    User.kind: lambda user, _: render_user(user),
    Session.kind: lambda session, _: render_session(session),
    Message.kind: render_message,
    Image.kind: lambda image, _: render_image(image),
}
