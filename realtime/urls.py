from django.urls import path

from realtime.views import PresenceViewSet, SyncViewSet

urlpatterns = [
    path("sessions/<str:session_id>/presence", PresenceViewSet.as_view({"get": "list"})),
    path("sync", SyncViewSet.as_view({"get": "list"})),
]
