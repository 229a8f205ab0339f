"""Positions in the log: `<epoch>:<offset>`."""


def is_news(cursor: str, position: str | None) -> bool:
    """Whether an event lies behind a position; what was seen comes twice when a connection was cut."""
    if position is None:
        return True
    epoch, offset = _parts(cursor)
    epoch_there, offset_there = _parts(position)
    return epoch != epoch_there or offset > offset_there


def _parts(cursor: str) -> tuple[str, int]:
    epoch, _, offset = cursor.rpartition(":")
    return epoch, int(offset)
