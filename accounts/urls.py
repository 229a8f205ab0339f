from django.urls import path

from accounts.views import AccountViewSet, DeviceViewSet, RecoveryViewSet, SignInViewSet

urlpatterns = [
    path("register", SignInViewSet.as_view({"post": "register"})),
    path("login", SignInViewSet.as_view({"post": "log_in"})),
    path("refresh", SignInViewSet.as_view({"post": "refresh"})),
    path("me", AccountViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("password", AccountViewSet.as_view({"put": "change_password"})),
    path("password/forgot", RecoveryViewSet.as_view({"post": "forgot_password"})),
    path("password/reset", RecoveryViewSet.as_view({"post": "reset_password"})),
    path("verify", RecoveryViewSet.as_view({"post": "verify_email"})),
    path("verify/resend", AccountViewSet.as_view({"post": "send_verification_again"})),
    path("logout", AccountViewSet.as_view({"post": "log_out"})),
    path("logout-all", AccountViewSet.as_view({"post": "log_out_everywhere"})),
    path("devices", DeviceViewSet.as_view({"get": "list"})),
    path("devices/<str:device_id>", DeviceViewSet.as_view({"delete": "destroy"})),
    path("ws-ticket", AccountViewSet.as_view({"post": "make_ticket"})),
]
