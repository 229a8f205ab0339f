from django.urls import path

from accounts.views import AccountViewSet, SignInViewSet

urlpatterns = [
    path("register", SignInViewSet.as_view({"post": "register"})),
    path("login", SignInViewSet.as_view({"post": "log_in"})),
    path("refresh", SignInViewSet.as_view({"post": "refresh"})),
    path("me", AccountViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"})),
    path("password", AccountViewSet.as_view({"put": "change_password"})),
    path("logout", AccountViewSet.as_view({"post": "log_out"})),
    path("ws-ticket", AccountViewSet.as_view({"post": "make_ticket"})),
]
