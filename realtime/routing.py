"""Which consumer serves which address: `/ws/<sessionId>`; elsewhere no session is found (4404)."""

from channels.routing import URLRouter
from django.urls import path, re_path

from realtime.consumers import DeviceConsumer

application = URLRouter(
    [
        path("ws/<str:session_id>", DeviceConsumer.as_asgi()),
        re_path("", DeviceConsumer.as_asgi(), {"session_id": ""}),
    ]
)
