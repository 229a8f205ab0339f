"""Progress bars of commands: one line on a terminal that is drawn anew, and nothing anywhere else."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTH = 30  # characters of a bar
REDRAWN_EVERY = 0.1  # seconds

Advance = Callable[[int], None]


@contextmanager
def progress(label: str, total: int, stream: TextIO | None = None) -> Iterator[Advance]:
    """`with progress("Exporting", 400) as advance: advance(3)`"""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield lambda steps: None
        return
    bar = _Bar(label, total, stream)
    bar.draw()
    try:
        yield bar.advance
    finally:
        bar.draw()
        stream.write("\n")


class _Bar:
    def __init__(self, label: str, total: int, stream: TextIO) -> None:
        self._label, self._total, self._stream = label, total, stream
        self._done = 0
        self._drawn_at = 0.0

    def advance(self, steps: int) -> None:
        self._done += steps
        if time.monotonic() - self._drawn_at > REDRAWN_EVERY:
            self.draw()

    def draw(self) -> None:
        self._drawn_at = time.monotonic()
        share = min(1.0, self._done / self._total) if self._total else 1.0
        filled = round(share * WIDTH)
        bar = "█" * filled + "·" * (WIDTH - filled)
        self._stream.write(f"\r{self._label} {bar} {share:4.0%}")
        self._stream.flush()
