"""The bases of the viewsets whose requests are counted: of who is signed in, and of anybody."""

from accounts.models import User
from accounts.services.access import Visitor, admit_stranger, authenticate
from nanobanana.errors import Unauthorized
from nanobanana.redisdb.event_log import Cursor
from nanobanana.throttling import client_ip
from nanobanana.viewsets import ViewSet


class SignedInViewSet(ViewSet):
    """Its actions have `self.visitor` and `self.user`; requests count against the budgets of the user."""

    visitor: Visitor

    @property
    def user(self) -> User:
        return self.visitor.user

    async def admit(self) -> None:
        self.visitor = await authenticate(
            bearer_token(self.request.META.get("HTTP_AUTHORIZATION", "")), self.budget
        )
        self.standing = self.visitor.standing

    @property
    def owner_id(self) -> str:
        return self.visitor.user.id

    @property
    def credentials(self) -> str:
        return ""  # another token, or another device, may repeat a request

    def cursor(self) -> Cursor:
        return self.visitor.user.cursor or self.visitor.head


class StrangerViewSet(ViewSet):
    """Anybody may call; requests count against the budgets of the address they come from."""

    async def admit(self) -> None:
        self.standing = await admit_stranger(client_ip(self.request), self.budget)


def bearer_token(authorization: str) -> str:
    """The token of `Authorization: Bearer <token>`."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized
    return token.strip()
