"""What `/api/sync` takes, and what it and presence answer, for validation and for the schema."""

import re
from typing import Any

from rest_framework import serializers

from nanobanana.serializers import ID, IdField, MomentField

LONGEST_WAIT = 25  # seconds: under the 30 after which proxies give up
MOST_SESSIONS = 100


class PositionField(serializers.RegexField):
    """A cursor of the log, as `Cursor.parse` reads it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[0-9a-f]{0,32}:(?:0|[1-9][0-9]{0,14})\Z", **options)


class SecondsField(serializers.IntegerField):
    """Whole seconds in a query: digits and nothing else."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,4}", data):
            self.fail("invalid")
        return super().to_internal_value(data)


class SyncQuery(serializers.Serializer):
    since = PositionField(
        required=False,
        allow_blank=True,
        help_text="The position to go on from; none asks for the present one.",
    )
    wait = SecondsField(
        min_value=0,
        max_value=LONGEST_WAIT,
        default=0,
        help_text="How many seconds to wait for something to answer.",
    )
    sessionId = serializers.RegexField(
        rf"^{ID}(?:,{ID}){{0,{MOST_SESSIONS - 1}}}\Z",
        required=False,
        allow_blank=True,
        help_text="The sessions to hear of, separated by commas; all without.",
    )


class PresentDeviceSerializer(serializers.Serializer):
    deviceId = IdField(help_text="As in the list of devices.")
    name = serializers.CharField(allow_blank=True, help_text="The device's name.")
    since = MomentField(help_text="Since when it is there.")


class EventSerializer(serializers.Serializer):
    """A data frame of docs/websocket.md."""

    type = serializers.CharField(help_text="What happened, such as `message_created`.")
    sessionId = IdField(allow_null=True, help_text="The session it happened in.")
    payload = serializers.DictField(help_text="The object as it is now, or the ids of what is gone or large.")
    cursor = PositionField(help_text="The event's position in the log.")
    timestamp = MomentField(help_text="When it happened.")
