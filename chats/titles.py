"""Titles made from the first message."""

import regex

LONGEST = 50  # characters
ELLIPSIS = "…"


def title_from(text: str) -> str:
    """The first words of a text, at most LONGEST characters, cut between words or else between graphemes."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    head = _whole_graphemes(line, LONGEST - len(ELLIPSIS))
    words = head if line[len(head)] == " " else head.rpartition(" ")[0]
    return (words.rstrip() or head) + ELLIPSIS


def _whole_graphemes(line: str, most: int) -> str:
    end = 0
    for grapheme in regex.finditer(r"\X", line[: most * 2]):
        if grapheme.end() > most:
            break
        end = grapheme.end()
    return line[: end or most]
