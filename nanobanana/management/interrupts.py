"""Signals that end a command: what is half done is undone on the way out."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_by(*numbers: signal.Signals) -> Iterator[None]:
    """Inside, these signals raise KeyboardInterrupt at once, in the main thread, where signals arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
