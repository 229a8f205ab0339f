"""The mails the server sends in tests, which Django keeps in a list."""

import asyncio
import re
from collections.abc import Callable

from django.core import mail
from django.core.mail import EmailMessage

from tests.support.people import PATIENCE


def mails_to(email: str, page: str) -> list[EmailMessage]:
    """The mails so far with a link to this page of the front end."""
    return [each for each in mail.outbox if each.to == [email] and f"/{page}?token=" in str(each.body)]


async def mail_to(email: str, page: str, *, number: int = 1) -> EmailMessage:
    """The latest of so many mails; it waits for them, as the server sends mails in threads of their own."""
    await until(lambda: len(mails_to(email, page)) >= number)
    return mails_to(email, page)[-1]


async def until(holds: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        if holds():
            return
        assert asyncio.get_running_loop().time() < deadline, "It did not come to that."
        await asyncio.sleep(0.01)


async def token_mailed_to(email: str, page: str, *, number: int = 1) -> str:
    body = str((await mail_to(email, page, number=number)).body)
    found = re.search(rf"^(\S+)/{page}\?token=(\S+)$", body, flags=re.MULTILINE)
    assert found, body
    return found[2]
