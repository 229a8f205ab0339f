"""Objects too large for the log come as their ids; here they are fetched."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from nanobanana_client.errors import ApiError
from nanobanana_client.retries import Backoff
from nanobanana_client.sync.inbox import logger
from nanobanana_client.sync.notices import Change

if TYPE_CHECKING:
    from nanobanana_client.client import NanobananaClient


async def completed(client: "NanobananaClient", change: Change, backoff: Backoff) -> Change | None:
    """The change with its object; None when that is gone meanwhile, which a later event tells.

    Tried until the server has decided. What the application's own code raises, such as a TokenStore whose
    disk is full, may pass as well as an outage.
    """
    attempt = 0
    while True:
        try:
            return await _with_object(client, change)
        except ApiError as error:
            if error.status == 404:
                return None
            if not error.may_pass:
                raise
            wait = backoff.delay(attempt, error.retry_after)
        except Exception:
            logger.exception("The object of a %s could not be fetched", change.type)
            wait = backoff.delay(attempt)
        attempt += 1
        await asyncio.sleep(wait)


async def _with_object(client: "NanobananaClient", change: Change) -> Change:
    match change.type.partition("_")[0]:
        case "message":
            return replace(change, message=await client.messages.get(change.message_id or ""))
        case "image":
            return replace(change, image=await client.images.get(change.image_id or ""))
        case "session":
            return replace(change, session=await client.sessions.get(change.session_id or ""))
        case _:
            return replace(change, user=await client.accounts.me())
