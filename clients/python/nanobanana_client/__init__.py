"""The client of nanobanana: REST calls by noun, and a SyncClient that keeps a device in step."""

from nanobanana_client.client import NanobananaClient
from nanobanana_client.errors import NETWORK_ERROR, ApiError
from nanobanana_client.models import (
    BatchResult,
    CleanUpResult,
    Device,
    Failure,
    Health,
    Image,
    LogPage,
    Message,
    Page,
    Pagination,
    PresentDevice,
    Revision,
    SearchResult,
    Session,
    Stats,
    Ticket,
    User,
)
from nanobanana_client.retries import Backoff
from nanobanana_client.sync.client import SyncClient
from nanobanana_client.sync.notices import (
    Change,
    Connected,
    Ended,
    Joined,
    Left,
    Presence,
    Resynced,
    StatusChange,
    Typing,
)
from nanobanana_client.tokens import MemoryTokens, Tokens, TokenStore

__all__ = [
    "NETWORK_ERROR",
    "ApiError",
    "Backoff",
    "BatchResult",
    "Change",
    "CleanUpResult",
    "Connected",
    "Device",
    "Ended",
    "Failure",
    "Health",
    "Image",
    "Joined",
    "Left",
    "LogPage",
    "MemoryTokens",
    "Message",
    "NanobananaClient",
    "Page",
    "Pagination",
    "Presence",
    "PresentDevice",
    "Resynced",
    "Revision",
    "SearchResult",
    "Session",
    "Stats",
    "StatusChange",
    "SyncClient",
    "Ticket",
    "TokenStore",
    "Tokens",
    "Typing",
    "User",
]
