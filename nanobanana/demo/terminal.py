"""The story as lines of text, for a terminal or a log."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from django.utils.termcolors import colorize

from nanobanana.demo.timeline import Chapter, Moment, PromiseBroken, Timeline

ARROWS = {"sent": "→", "heard": "←", "opened": "●", "closed": "○", "refused": "⊘"}
COLOURS = {"laptop": "cyan", "phone": "magenta", "Bob": "yellow"}
LONGEST_TEXT = 40  # characters


class Lines:
    """Each method gives lines without their ends; colours only where they are wanted."""

    def __init__(self, timeline: Timeline, *, in_colour: bool) -> None:
        self._timeline = timeline
        self._in_colour = in_colour

    def chapter(self, chapter: Chapter) -> Iterator[str]:
        number = self._timeline.chapters.index(chapter) + 1
        yield ""
        yield self._paint(f"{number}. {chapter.title}", opts=("bold",))
        for moment in sorted(chapter.moments, key=lambda moment: moment.at):
            yield self._moment(moment)
        for words in chapter.kept:
            yield self._paint(f"  ✓ {words}", fg="green")
        if chapter.broken:
            yield from self._broken(chapter.broken)

    def summary(self) -> Iterator[str]:
        delays = self._timeline.delays()
        yield ""
        yield self._paint(f"All {self._timeline.promises_kept} promises kept.", fg="green", opts=("bold",))
        yield (
            f"A change reached a device {relative(median(delays))} the answer to its write in the median, "
            f"{relative(delays[-1])} it at the latest ({len(delays)} frames)."
        )

    def _moment(self, moment: Moment) -> str:
        device = self._paint(f"{moment.device:<7}", fg=COLOURS[moment.device])
        line = f"{moment.at:9.1f} ms  {device}{ARROWS[moment.direction]} {moment.what:<43}"
        return f"{line} {timing(self._timeline, moment):<25} {abridged(moment)}".rstrip()

    def _broken(self, broken: PromiseBroken) -> Iterator[str]:
        yield self._paint(f"  ✗ {broken.words}", fg="red", opts=("bold",))
        yield self._paint(f"    expected: {broken.expected}", fg="red")
        yield self._paint(f"    seen:     {broken.seen}", fg="red")

    def _paint(self, text: str, **look: Any) -> str:
        return colorize(text, **look) if self._in_colour else text


def timing(timeline: Timeline, moment: Moment) -> str:
    """How long an answer took, or how long after the answer of its write a frame arrived."""
    if moment.direction == "sent" and moment.took:
        return f"{moment.note} in {moment.took:.1f} ms"
    if timeline.was_missed(moment):
        return "caught up"
    delay = timeline.delay(moment)
    return moment.note if delay is None else f"{relative(delay)} the answer"


def relative(delay: float) -> str:
    return f"{abs(delay):.1f} ms {'after' if delay >= 0 else 'before'}"


def abridged(moment: Moment) -> str:
    text = moment.text if len(moment.text) <= LONGEST_TEXT else f"{moment.text[:LONGEST_TEXT]}…"
    count = len(moment.pictures)
    pictures = f"[{count} picture{'s' if count > 1 else ''}]" if count else ""
    return f"{text} {pictures}".strip()
