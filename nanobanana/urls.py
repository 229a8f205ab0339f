"""Every address of the REST interface; the WebSocket's is in realtime/routing.py."""

from django.urls import include, path, re_path

from media_store.views import IncomingViewSet, MediaViewSet
from nanobanana.documentation import DocumentationViewSet, SchemaViewSet
from nanobanana.views import HealthViewSet, MetricsViewSet, UnknownViewSet

EVERY_METHOD = ("get", "post", "put", "patch", "delete", "options")

urlpatterns = [
    path("api/auth/", include("accounts.urls")),
    path("api/", include("chats.urls")),
    path("api/", include("media_store.urls")),
    path("api/", include("realtime.urls")),
    path("api/schema", SchemaViewSet.as_view({"get": "retrieve"})),
    path("api/docs", DocumentationViewSet.as_view({"get": "page"})),
    path("api/docs/<str:name>", DocumentationViewSet.as_view({"get": "file"})),
    path("media/<str:user_id>/<str:image_id>/<str:variant>", MediaViewSet.as_view({"get": "retrieve"})),
    path("uploads/<str:user_id>/<str:upload_id>", IncomingViewSet.as_view({"put": "receive"})),
    path("health", HealthViewSet.as_view({"get": "retrieve"})),
    path("health/live", HealthViewSet.as_view({"get": "live"})),
    path("health/ready", HealthViewSet.as_view({"get": "ready"})),
    path("metrics", MetricsViewSet.as_view({"get": "retrieve"})),
    re_path("", UnknownViewSet.as_view(dict.fromkeys(EVERY_METHOD, "retrieve"))),
]
