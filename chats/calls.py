"""What the schema says of `/api/sessions`, `/api/messages` and `/api/search`."""

from rest_framework import serializers

from chats.search.query import LONGEST_QUERY
from chats.serializers import (
    ROLES,
    AttachImageSerializer,
    CreateMessageSerializer,
    CreateSessionSerializer,
    DeleteSessionSerializer,
    DuplicateSessionSerializer,
    MessageSerializer,
    RestoreRevisionSerializer,
    RevisionSerializer,
    SearchPaginationSerializer,
    SearchResultSerializer,
    SessionFilterSerializer,
    SessionSerializer,
    StatsSerializer,
    UpdateMessageSerializer,
    UpdateSessionSerializer,
    UsageSerializer,
)
from chats.services.search import MESSAGE, NEWEST, RELEVANCE, SESSION
from media_store.calls import NO_ROOM
from media_store.serializers import ImageSerializer
from nanobanana.calls import SAME_REVISION, Answer, Call, Fields, page_query, sentence
from nanobanana.errors import ArchiveTooLarge, NotFound, UnreadableArchive
from nanobanana.pagination import PaginationSerializer
from nanobanana.serializers import CursorField, IdField

SESSIONS_A_PAGE = 20
MESSAGES_A_PAGE = 50
HITS_A_PAGE = 20
REVISIONS_A_PAGE = 20
ZIP = "application/zip"


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
    "destroy": Call(
        "Delete a session",
        sentence(),
        "It goes to the trash; with `permanent` it is gone for good, also from there.",
        query=DeleteSessionSerializer().fields,
    ),
    "list_trash": Call(
        "List the trash",
        {"sessions": SessionSerializer(many=True, help_text="Deleted last first."), **_pagination()},
        "Sessions are purged `TRASH_DAYS` after they came here.",
        query=page_query(SESSIONS_A_PAGE),
    ),
    "restore": Call("Restore a session", {**sentence(), **_session()}),
    "duplicate": Call(
        "Duplicate a session",
        {**sentence(), **_session()},
        "The copy has all messages, with their times, and shows the same pictures.",
        status=201,
        body=DuplicateSessionSerializer,
    ),
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
            "branch": serializers.ChoiceField(
                choices=("all", "active"),
                default="all",
                help_text="Everything, or without what was replaced by an edit.",
            ),
            "before": IdField(required=False, help_text="Read backwards from this message."),
            "after": IdField(required=False, help_text="Read on from this message; not with `before`."),
        },
    ),
    "create": Call(
        "Write a message",
        _changed(),
        status=201,
        body=CreateMessageSerializer,
        has_etag=True,
    ),
}

MESSAGES = {
    "retrieve": Call(
        "Read a message",
        {"message": MessageSerializer(help_text="With its pictures.")},
        has_etag=True,
        other_answers={304: SAME_REVISION},
    ),
    "update": Call(
        "Change a message",
        _changed(),
        body=UpdateMessageSerializer,
        takes_if_match=True,
        has_etag=True,
    ),
    "destroy": Call("Delete a message", sentence(), takes_if_match=True),
    "list_images": Call(
        "List the images of a message", {"images": ImageSerializer(many=True, help_text="In order.")}
    ),
    "attach_image": Call(
        "Add an image to a message",
        _changed(),
        body=AttachImageSerializer,
        takes_if_match=True,
        has_etag=True,
    ),
    "detach_image": Call("Take an image out of a message", _changed(), takes_if_match=True, has_etag=True),
    "list_revisions": Call(
        "List the revisions of a message",
        {
            "revisions": RevisionSerializer(many=True, help_text="The newest first."),
            **_pagination(),
        },
        query=page_query(REVISIONS_A_PAGE),
    ),
    "restore": Call(
        "Restore a revision of a message",
        _changed(),
        body=RestoreRevisionSerializer,
        takes_if_match=True,
        has_etag=True,
    ),
    "list_branches": Call(
        "List the branches of a message",
        {
            "branches": MessageSerializer(many=True, help_text="Its versions, the oldest first."),
            "activeId": IdField(allow_null=True, help_text="Which of them is on the active branch."),
        },
    ),
}

SEARCH = {
    "list": Call(
        "Search messages and sessions",
        {
            "results": SearchResultSerializer(many=True, help_text="The newest first, or the most relevant."),
            "pagination": SearchPaginationSerializer(help_text="Which part of the results it is."),
        },
        details='Words, "phrases" and `params.name:value`, as docs/search.md explains them.',
        query={
            "q": serializers.CharField(min_length=1, max_length=LONGEST_QUERY, help_text="What to find."),
            "type": serializers.ChoiceField(
                choices=(MESSAGE, SESSION), required=False, help_text="Only messages, or only sessions."
            ),
            "sessionId": IdField(required=False, help_text="Only messages of this session."),
            "role": serializers.ChoiceField(
                choices=ROLES, required=False, help_text="Only messages of this role."
            ),
            "hasImage": serializers.BooleanField(
                required=False, help_text="Only messages with, or without, images."
            ),
            "from": serializers.DateTimeField(
                required=False, help_text="What was written then or later; a day is meant from its beginning."
            ),
            "to": serializers.DateTimeField(
                required=False, help_text="What was written then or before; a day is meant to its end."
            ),
            "sort": serializers.ChoiceField(
                choices=(NEWEST, RELEVANCE), default=NEWEST, help_text="What comes first."
            ),
            "limit": page_query(HITS_A_PAGE)["limit"],
            "cursor": CursorField(required=False, help_text="The `nextCursor` of an answer."),
        },
        errors=(NotFound,),
    )
}


def _archive() -> Answer:
    return Answer(media_types=(ZIP,), headers=("Content-Disposition",), description="The archive.")


USAGE = {"retrieve": Call("Read what is used", {"usage": UsageSerializer(help_text="What the account has.")})}

ARCHIVES = {
    "export_session": Call(
        "Export a session",
        details="A zip file of its messages and pictures, as docs/archive-format.md has it.",
        other_answers={200: _archive()},
    ),
    "export_account": Call(
        "Export the account",
        details="The same of all sessions, those in the trash too.",
        other_answers={200: _archive()},
    ),
    "import_sessions": Call(
        "Import sessions",
        {**sentence(), "sessions": SessionSerializer(many=True, help_text="In the order of the archive.")},
        "All sessions of an archive or none, with new ids.",
        status=201,
        form={"archive": serializers.FileField(help_text="What an export gave.")},
        errors=(ArchiveTooLarge, UnreadableArchive, *NO_ROOM),
    ),
}
