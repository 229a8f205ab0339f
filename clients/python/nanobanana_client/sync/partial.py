"""Objects too large for the log come as their ids; here they are fetched."""

from dataclasses import replace
from typing import TYPE_CHECKING

from nanobanana_client.errors import ApiError
from nanobanana_client.sync.notices import Change

if TYPE_CHECKING:
    from nanobanana_client.client import NanobananaClient


async def completed(client: "NanobananaClient", change: Change) -> Change | None:
    """The change with its object; None when that is gone meanwhile, which a later event tells."""
    try:
        return await _with_object(client, change)
    except ApiError as error:
        if error.status != 404:
            raise
        return None


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
