"""What the schema says of `/api/sync` and of presence."""

from rest_framework import serializers

from nanobanana.calls import Call
from realtime.serializers import EventSerializer, PositionField, PresentDeviceSerializer, SyncQuery

SYNC = {
    "list": Call(
        "Hear what happened",
        {
            "events": EventSerializer(many=True, help_text="What happened behind `since`, in order."),
            "cursor": PositionField(help_text="The `since` of the next request."),
            "resyncRequired": serializers.BooleanField(
                help_text="What was missed is gone: reload, then go on from `cursor`."
            ),
        },
        "The log that sockets hear, by long poll; docs/websocket.md explains it.",
        query=SyncQuery().get_fields(),
    ),
}

PRESENCE = {
    "list": Call(
        "See who is in a session",
        {"devices": PresentDeviceSerializer(many=True, help_text="The longest there first.")},
        "The devices of the account that have a socket in it, on any process.",
    ),
}
