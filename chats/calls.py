"""What the schema says of `/api/sessions` and `/api/messages`."""

from rest_framework import serializers

from chats.serializers import (
    AttachImageSerializer,
    CreateMessageSerializer,
    CreateSessionSerializer,
    MessageSerializer,
    SessionFilterSerializer,
    SessionSerializer,
    StatsSerializer,
    UpdateMessageSerializer,
    UpdateSessionSerializer,
)
from media_store.serializers import ImageSerializer
from nanobanana.calls import Call, Fields, page_query, sentence
from nanobanana.pagination import PaginationSerializer
from nanobanana.serializers import IdField

SESSIONS_A_PAGE = 20
MESSAGES_A_PAGE = 50


def _session() -> Fields:
    return {"session": SessionSerializer(help_text="The session.")}


def _changed() -> Fields:
    return {**sentence(), "messageData": MessageSerializer(help_text="The message with its pictures.")}


def _pagination() -> Fields:
    return {"pagination": PaginationSerializer(help_text="Which part of the list it is.")}


SESSIONS = {
    "list": Call(
        "List sessions",
        {
            "sessions": SessionSerializer(
                many=True, help_text="Pinned ones first, then the latest activity."
            ),
            **_pagination(),
        },
        query={**page_query(SESSIONS_A_PAGE), **SessionFilterSerializer().fields},
    ),
    "create": Call(
        "Create a session",
        {**sentence(), **_session()},
        status=201,
        body=CreateSessionSerializer,
    ),
    "retrieve": Call("Read a session", _session()),
    "update": Call("Change a session", {**sentence(), **_session()}, body=UpdateSessionSerializer),
    "destroy": Call("Delete a session", sentence()),
    "stats": Call("Count what is in a session", {"stats": StatsSerializer(help_text="The numbers.")}),
}

SESSION_MESSAGES = {
    "list": Call(
        "List the messages of a session",
        {"messages": MessageSerializer(many=True, help_text="With their pictures."), **_pagination()},
        query={
            **page_query(MESSAGES_A_PAGE),
            "order": serializers.ChoiceField(
                choices=("asc", "desc"), default="asc", help_text="Oldest or newest first."
            ),
            "before": IdField(required=False, help_text="Read backwards from this message."),
            "after": IdField(required=False, help_text="Read on from this message; not with `before`."),
        },
    ),
    "create": Call("Write a message", _changed(), status=201, body=CreateMessageSerializer),
}

MESSAGES = {
    "retrieve": Call("Read a message", {"message": MessageSerializer(help_text="With its pictures.")}),
    "update": Call("Change a message", _changed(), body=UpdateMessageSerializer),
    "destroy": Call("Delete a message", sentence()),
    "list_images": Call(
        "List the images of a message", {"images": ImageSerializer(many=True, help_text="In order.")}
    ),
    "attach_image": Call("Add an image to a message", _changed(), body=AttachImageSerializer),
    "detach_image": Call("Take an image out of a message", _changed()),
}
