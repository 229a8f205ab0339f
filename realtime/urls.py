from django.urls import path

from realtime.views import SyncViewSet

urlpatterns = [
    path("sync", SyncViewSet.as_view({"get": "list"})),
]
