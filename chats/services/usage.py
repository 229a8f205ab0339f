"""What a user has, and may have."""

import asyncio
from dataclasses import dataclass

from accounts.models import User
from chats.models import ARCHIVED, LATEST, TRASHED, Message, Session
from media_store.models import Usage


@dataclass(frozen=True)
class Account:
    """`messages` are those of all sessions, deleted ones too."""

    pictures: Usage
    sessions: int
    trashed_sessions: int
    messages: int


async def get_usage(*, user: User) -> Account:
    pictures, listed, archived, trashed, messages = await asyncio.gather(
        Usage.objects.aget_of(user.id),
        Session.objects.acount(user.id, LATEST.name),
        Session.objects.acount(user.id, ARCHIVED.name),
        Session.objects.acount(user.id, TRASHED.name),
        Message.objects.acount_all(user.id),
    )
    return Account(pictures, listed + archived, trashed, messages)
