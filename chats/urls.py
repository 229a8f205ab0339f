from django.urls import path

from chats.views import (
    ArchiveViewSet,
    MessageViewSet,
    SearchViewSet,
    SessionMessageViewSet,
    SessionViewSet,
    UsageViewSet,
)

urlpatterns = [
    path("sessions", SessionViewSet.as_view({"get": "list", "post": "create"})),
    path("sessions/trash", SessionViewSet.as_view({"get": "list_trash"})),
    path("sessions/import", ArchiveViewSet.as_view({"post": "import_sessions"})),
    path(
        "sessions/<str:session_id>",
        SessionViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path("sessions/<str:session_id>/restore", SessionViewSet.as_view({"post": "restore"})),
    path("sessions/<str:session_id>/duplicate", SessionViewSet.as_view({"post": "duplicate"})),
    path("sessions/<str:session_id>/export", ArchiveViewSet.as_view({"get": "export_session"})),
    path("auth/me/usage", UsageViewSet.as_view({"get": "retrieve"})),
    path("auth/me/export", ArchiveViewSet.as_view({"get": "export_account"})),
    path("sessions/<str:session_id>/stats", SessionViewSet.as_view({"get": "stats"})),
    path(
        "sessions/<str:session_id>/messages", SessionMessageViewSet.as_view({"get": "list", "post": "create"})
    ),
    path(
        "messages/<str:message_id>",
        MessageViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
    path("messages/<str:message_id>/revisions", MessageViewSet.as_view({"get": "list_revisions"})),
    path("messages/<str:message_id>/restore", MessageViewSet.as_view({"post": "restore"})),
    path("messages/<str:message_id>/branches", MessageViewSet.as_view({"get": "list_branches"})),
    path(
        "messages/<str:message_id>/images",
        MessageViewSet.as_view({"get": "list_images", "post": "attach_image"}),
    ),
    path(
        "messages/<str:message_id>/images/<str:image_id>", MessageViewSet.as_view({"delete": "detach_image"})
    ),
    path("search", SearchViewSet.as_view({"get": "list"})),
]
