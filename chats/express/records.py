"""What the seed's own server has, as it is taken: each record by the rules for what is made here.

A record that cannot be taken is None, or lacks what cannot; `bad` is told why, in a sentence with its key.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from rest_framework import serializers

from accounts.models import User
from accounts.serializers import EmailField, NameField, ProfileSerializer
from chats.archives.format import ImageRecordSerializer, MessageRecordSerializer, SessionRecordSerializer
from chats.express.source import Fields
from chats.models import DEFAULT_TITLE, TITLE_BY_DEFAULT, TITLE_BY_PERSON
from chats.services.archives import ImageRecord, MessageRecord, SessionRecord
from chats.titles import shortened
from nanobanana.exception_handler import sentences_by_field
from nanobanana.redisdb.fields import now
from nanobanana.redisdb.ids import EPOCH, named_id
from nanobanana.serializers import timestamp, validate

# Cost 4 to 16, which takes seconds; 22 characters of salt, the last of which holds two bits; a digest. bcrypt
# refuses other salts.
BCRYPT = re.compile(r"\$2[abxy]\$(?:0[4-9]|1[0-6])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
ABSENT = {"", "null", "undefined"}  # as that server's client writes what there is not

Bad = Callable[[str], None]


class UserSerializer(serializers.Serializer):
    email = EmailField()


class UsernameSerializer(serializers.Serializer):
    username = NameField()


def user_of(user_id: str, stored: Fields, bad: Bad) -> User | None:
    place = f"user:{user_id}"
    fields = _checked(UserSerializer, {"email": stored.get("email")}, place, bad)
    if fields is None:
        return None
    created_at = _past(stored.get("createdAt"))
    identifier = named_id(place, at=created_at or EPOCH)
    return User(
        identifier,
        identifier,
        email=fields["email"],
        username=_username(place, stored, fields["email"], bad),
        avatar=_avatar(place, stored, bad),
        is_active=stored.get("isActive", "true") not in {"false", "0"},
        created_at=created_at or now(),
        updated_at=_past(stored.get("updatedAt")) or now(),
        last_login_at=_past(stored.get("lastLoginAt")),
    )


def password_of(user_id: str, stored: Fields, bad: Bad) -> str:
    """The hash as it is kept here; one that nobody knows the password of, when there is none."""
    found = stored.get("password", "")
    if BCRYPT.fullmatch(found):
        return f"bcrypt${found}"
    bad(f"user:{user_id} has no bcrypt hash: it is brought in, and can sign in after a reset.")
    return "!"


def session_of(session_id: str, user_id: str, stored: Fields, bad: Bad) -> SessionRecord | None:
    place = f"session:{session_id}"
    if not stored:
        bad(f"{place} does not exist.")
        return None
    if stored.get("userId") != user_id:
        bad(f"{place} is not of user:{user_id}, whose list has it.")
        return None
    created_at = moment_of(stored.get("createdAt"))
    title = shortened(" ".join(stored.get("title", "").split())) or DEFAULT_TITLE
    record = {
        "id": session_id,
        "title": title,
        "createdAt": timestamp(created_at),
        "updatedAt": timestamp(moment_of(stored.get("updatedAt")) or created_at),
    }
    fields = _checked(SessionRecordSerializer, record, place, bad)
    if fields is None:
        return None
    return SessionRecord(
        session_id,
        title=fields["title"],
        title_origin=TITLE_BY_DEFAULT if fields["title"] == DEFAULT_TITLE else TITLE_BY_PERSON,
        created_at=fields["createdAt"],
        updated_at=fields["updatedAt"],
        new_id=named_id(place, at=fields["createdAt"]),
        is_trashed=stored.get("deletedAt", "") not in ABSENT,
    )


def image_of(image_id: str, stored: Fields, bad: Bad) -> ImageRecord | None:
    """`filename` is not found yet."""
    record = {
        "id": image_id,
        "sessionId": stored.get("sessionId"),
        "type": stored.get("type", "uploaded"),
        "createdAt": timestamp(moment_of(stored.get("createdAt"))),
        "filename": "images/1.jpeg",
    }
    fields = _checked(ImageRecordSerializer, record, f"image:{image_id}:meta", bad)
    return fields and ImageRecord(image_id, fields["sessionId"], fields["type"], fields["createdAt"], "")


def message_of(
    message_id: str, session_id: str, stored: Fields, known: set[str], bad: Bad
) -> MessageRecord | None:
    """`known` are the messages before it in its session."""
    place = f"message:{message_id}"
    if not stored:
        bad(f"{place} does not exist.")
        return None
    if stored.get("sessionId", session_id) != session_id:
        bad(f"{place} is not of session:{session_id}, whose list has it.")
        return None
    created_at = moment_of(stored.get("createdAt"))
    record = {
        "id": message_id,
        "role": stored.get("role"),
        "text": stored.get("text", "").replace("\0", ""),
        "params": _json(place, stored, "params", dict, bad),
        "imageIds": _json(place, stored, "imageIds", list, bad),
        "createdAt": timestamp(created_at),
        "updatedAt": timestamp(moment_of(stored.get("updatedAt")) or created_at),
    }
    fields = _checked(MessageRecordSerializer, record, place, bad)
    edited_of = stored.get("editedOf", "")
    if edited_of not in ABSENT | known:
        bad(f"{place} is said to be a version of {edited_of}, which is not before it.")
    return fields and MessageRecord(
        message_id,
        role=fields["role"],
        text=fields["text"],
        params=fields["params"] or {},
        image_ids=list(dict.fromkeys(fields["imageIds"])),
        edited_of=edited_of if edited_of in known else None,
        created_at=fields["createdAt"],
        updated_at=fields["updatedAt"],
    )


def moment_of(text: str | None) -> datetime | None:
    """ISO 8601 as JavaScript writes it, or milliseconds since 1970; None for anything else."""
    try:
        if text and text.isascii() and text.isdecimal():
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        moment = datetime.fromisoformat(text or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _past(text: str | None) -> datetime | None:
    """The same, if it is one that has been."""
    moment = moment_of(text)
    return moment if moment and EPOCH <= moment <= now() else None


def _checked(
    serializer_class: type[serializers.Serializer], record: dict[str, Any], place: str, bad: Bad
) -> Any:
    try:
        return validate(serializer_class, record)
    except serializers.ValidationError as error:
        problems = sentences_by_field(error.detail)
        sentences = [f"{name}: {each}" for name, several in problems.items() for each in several]
        bad(f"{place}: {' '.join(sentences)}")
        return None


def _username(place: str, stored: Fields, email: str, bad: Bad) -> str:
    name = stored.get("username", "")
    try:
        return validate(UsernameSerializer, {"username": name})["username"]
    except serializers.ValidationError:
        visible = "".join(each for each in name if unicodedata.category(each)[0] != "C").strip()
        given = (visible if len(visible) >= 3 else f"{email.partition('@')[0]} user")[:30].strip()
        bad(f"{place} has a username that is none here; it is {given!r} now.")
        return given


def _avatar(place: str, stored: Fields, bad: Bad) -> str | None:
    avatar = stored.get("avatar", "")
    if avatar in ABSENT:
        return None
    fields = _checked(ProfileSerializer, {"avatar": avatar}, place, bad)
    return fields and fields["avatar"]


def _json(place: str, stored: Fields, field: str, kind: type, bad: Bad) -> Any:
    """What a field says as JSON; nothing, when that is none, so that the rest is not lost."""
    text = stored.get(field, "")
    try:
        value = kind() if text in ABSENT else orjson.loads(text)
    except ValueError:
        value = None
    if isinstance(value, kind):
        return value
    bad(f"{place} has {field} that are no JSON of that kind: they are left out.")
    return kind()
