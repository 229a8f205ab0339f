"""Who opens a socket, and what for: the token, ticket and position in the address or in the subprotocols."""

from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from django.conf import settings

from accounts.services.access import Visitor, authenticate, redeem_ticket
from chats.services.sessions import get_session
from nanobanana.errors import Forbidden, NotFound, TokenInvalid
from nanobanana.redisdb.event_log import Cursor
from nanobanana.throttling import READS

BEARER = "bearer"
SESSIONS_OF_A_DEVICE = 100


@dataclass(frozen=True)
class Handshake:
    """What an address says: `/ws/<sessionId>?userId=&token=&ticket=&since=&join=`.

    The token may stand in the subprotocols instead: `bearer, <token>`.
    """

    session_id: str
    user_id: str
    token: str
    ticket: str
    since: str
    also_in: list[str]
    subprotocol: str | None
    origin: str  # of the page that opens it; "" for who is no browser

    @classmethod
    def of(cls, scope: dict[str, Any]) -> Self:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        first = {name: values[0] for name, values in query.items()}
        offered: list[str] = scope["subprotocols"]
        is_bearer = BEARER in offered[:1]
        return cls(
            session_id=scope["url_route"]["kwargs"]["session_id"],
            user_id=first.get("userId", ""),
            token=(offered[1] if len(offered) > 1 else "") if is_bearer else first.get("token", ""),
            ticket=first.get("ticket", ""),
            since=first.get("since", ""),
            also_in=first["join"].split(",") if "join" in first else [],
            subprotocol=BEARER if is_bearer else None,
            origin=dict(scope["headers"]).get(b"origin", b"").decode("latin-1"),
        )

    @property
    def cursor(self) -> Cursor | None:
        """The position to resume from; None when there is none, or none that can be."""
        try:
            return Cursor.parse(self.since)
        except ValueError:
            return None


async def admit(handshake: Handshake) -> tuple[Visitor, list[str]]:
    """The visitor, and the sessions the socket is in: the one of its address and those of `join` that exist.

    Opening a socket counts as a read. Raises TokenInvalid, TooManyRequests, Forbidden for a foreign userId or
    page, NotFound for the session of the address.
    """
    if not is_welcome(handshake.origin):
        raise Forbidden
    visitor = await _identify(handshake)
    if handshake.user_id not in {"", visitor.user.id}:
        raise Forbidden
    await get_session(user=visitor.user, session_id=handshake.session_id)
    session_ids = [handshake.session_id]
    for session_id in handshake.also_in[: SESSIONS_OF_A_DEVICE - 1]:
        try:
            await get_session(user=visitor.user, session_id=session_id)
        except NotFound:
            continue  # it was deleted while the device was away
        session_ids.append(session_id)
    return visitor, session_ids


def is_welcome(origin: str) -> bool:
    """Whether pages of this origin may open sockets: those that may call, and our own."""
    if not origin or "*" in settings.CORS_ORIGIN:
        return True
    own = urlsplit(settings.PUBLIC_BASE_URL)
    return origin in {*settings.CORS_ORIGIN, f"{own.scheme}://{own.netloc}"}


async def _identify(handshake: Handshake) -> Visitor:
    if handshake.ticket:
        return await redeem_ticket(handshake.ticket, READS)
    if handshake.token:
        return await authenticate(handshake.token, READS)
    raise TokenInvalid
