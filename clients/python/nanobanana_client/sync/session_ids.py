"""The sessions that a device is in, as the server takes them."""

import re
from collections.abc import Iterable

ID = re.compile("(?:[0-6][0-9A-HJKMNP-TV-Z]|7[0-5])[0-9A-HJKMNP-TV-Z]{24}")
MOST_SESSIONS = 100


def checked(session_ids: Iterable[str]) -> list[str]:
    """Each once; ValueError for what the server would refuse, and at the next connection again."""
    unique = list(dict.fromkeys(session_ids))
    for session_id in unique:
        if not ID.fullmatch(session_id):
            raise ValueError(f"This is not the id of a session: {session_id!r}.")
    if len(unique) > MOST_SESSIONS:
        raise ValueError(f"A device can be in {MOST_SESSIONS} sessions at once; leave one first.")
    return unique
