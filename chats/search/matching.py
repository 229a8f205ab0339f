"""Whether a text is what a query means, how much so, and where."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from chats.search.folding import Utf16, fold, fold_with_places
from chats.search.query import Pattern, Query
from chats.search.words import tokens

MOST_HIGHLIGHTS = 100  # of one text
USUAL_LENGTH = 100  # tokens of a text that is neither short nor long
SATURATION, LENGTH_WEIGHT = 1.2, 0.75  # as BM25 is mostly used
SCALE = 1_000_000

Span = tuple[int, int]


class Document:
    """A text as its tokens, each with a space around it: ` red cat `."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded = fold(text)

    @cached_property
    def _tokens(self) -> list[str]:
        return tokens(self._folded)

    @cached_property
    def _content(self) -> str:
        return f" {' '.join(self._tokens)} "

    def matches(self, query: Query) -> bool:
        for pattern in query.patterns:  # most that do not match have not even the letters
            if not all(token in self._folded for token in pattern.tokens):
                return False
        return all(pattern.needle in self._content for pattern in query.patterns)

    def relevance(self, query: Query) -> int:
        """How much of the text is what was asked for: BM25 without the rarity of words, as a whole number.

        It depends on nothing but text and query.
        """
        length = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * len(self._tokens) / USUAL_LENGTH
        counts = [self._content.count(pattern.needle) for pattern in query.patterns]
        return round(SCALE * sum(count / (count + SATURATION * length) for count in counts))

    def highlights(self, query: Query) -> list[list[int]]:
        """The parts of the text that were meant, [start, end) in UTF-16 units, the first MOST_HIGHLIGHTS."""
        found = sorted({span for pattern in query.patterns for span in self._find(pattern)})[:MOST_HIGHLIGHTS]
        if not found:
            return []
        folded, units = fold_with_places(self._text), Utf16(self._text)
        starts, places = self._starts()
        ranges = [folded.span(*_in_text(span, starts, places)) for span in found]
        return [[units.place(start), units.place(end)] for start, end in _united(ranges)]

    def _find(self, pattern: Pattern) -> Iterator[Span]:
        """Where the pattern stands in the content, without the spaces around it."""
        needle, at = pattern.needle, -1
        spaces = len(needle) - len(needle.lstrip(" "))
        length = len(needle.strip(" "))
        for _ in range(MOST_HIGHLIGHTS):
            at = self._content.find(needle, at + 1)
            if at < 0:
                return
            yield at + spaces, at + spaces + length

    def _starts(self) -> tuple[list[int], list[int]]:
        """Where each token starts in the folded text, and where in the content."""
        starts, places, at, place = [], [], 0, 1
        for token in self._tokens:
            at = self._folded.index(token, at)  # what lies between tokens is in none
            starts.append(at)
            places.append(place)
            at += len(token)
            place += len(token) + 1
        return starts, places


def _in_text(span: Span, starts: list[int], places: list[int]) -> Span:
    """A part of the content as that of the folded text."""
    first, last = bisect_right(places, span[0]) - 1, bisect_right(places, span[1] - 1) - 1
    return starts[first] + span[0] - places[first], starts[last] + span[1] - places[last]


def _united(ranges: list[Span]) -> list[Span]:
    """The same without overlaps, in order."""
    united: list[Span] = []
    for start, end in sorted(ranges):
        if united and start < united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united
