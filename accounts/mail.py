"""Mails to users: sent from a bounded pool, so that nobody waits for a mail server or fails with it."""

import asyncio
import logging

from django.conf import settings
from django.core.mail import EmailMessage

from accounts.models import User
from nanobanana.pools import BoundedPool

THREADS = 2
WAITING = 200  # mails in line in one process; more are not sent
RESET = """\
Somebody, hopefully you, asked to reset the password of your account. Choose a new one here, within an hour:

{link}

If it was not you, do nothing: your password stays as it is.
"""
VERIFICATION = """\
Welcome! Please confirm within an hour that this is your e-mail address:

{link}

If you have no account here, do nothing.
"""

logger = logging.getLogger(__name__)
_pool = BoundedPool("mail", threads=THREADS, waiting=WAITING)
_tasks: set[asyncio.Task[None]] = set()


def send_reset_link(user: User, token: str) -> None:
    _send(user, "Reset your password", RESET.format(link=_link("reset-password", token)))


def send_verification_link(user: User, token: str) -> None:
    _send(user, "Confirm your e-mail address", VERIFICATION.format(link=_link("verify-email", token)))


def _link(page: str, token: str) -> str:
    return f"{settings.APP_URL}/{page}?token={token}"


def _send(user: User, subject: str, body: str) -> None:
    message = EmailMessage(subject, body, settings.MAIL_FROM, [user.email])
    task = asyncio.create_task(_deliver(message, user.id))
    _tasks.add(task)  # the event loop itself does not keep tasks
    task.add_done_callback(_tasks.discard)


async def _deliver(message: EmailMessage, user_id: str) -> None:
    try:
        await _pool.run(message.send)
    except Exception as error:  # whatever a backend raises; who asked for the mail has been answered
        logger.error("“%s” to %s was not sent: %s: %s", message.subject, user_id, type(error).__name__, error)
