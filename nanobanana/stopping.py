"""Whether this process was told to stop: it may serve on for a while, but is not ready for more."""

_is_stopping = False


def begin() -> None:
    global _is_stopping
    _is_stopping = True


def is_stopping() -> bool:
    return _is_stopping
