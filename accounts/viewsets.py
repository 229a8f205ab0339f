"""The base of the viewsets that want a token."""

from django.http import HttpRequest

from accounts.models import User
from accounts.services import Visitor, authenticate
from nanobanana.errors import Unauthorized
from nanobanana.redisdb.event_log import Cursor
from nanobanana.viewsets import ViewSet


class SignedInViewSet(ViewSet):
    """Its actions have `self.visitor` and `self.user`."""

    visitor: Visitor

    @property
    def user(self) -> User:
        return self.visitor.user

    async def authenticate(self) -> None:
        self.visitor = await authenticate(bearer_token(self.request))

    def cursor(self) -> Cursor | None:
        return self.visitor.user.cursor


def bearer_token(request: HttpRequest) -> str:
    """The token of `Authorization: Bearer <token>`."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized
    return token.strip()
