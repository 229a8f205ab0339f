"""Titles made from the first message, and from the title of what is copied."""

import regex

LONGEST_TITLE = 100  # characters of one that a person chose
LONGEST = 50  # of one made from a message
ELLIPSIS = "…"
COPY_MARK = " (copy)"


def title_from(text: str) -> str:
    """The first words of a text, at most LONGEST characters, cut between words or else between graphemes."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    head = _whole_graphemes(line, LONGEST - len(ELLIPSIS))
    words = head if line[len(head)] == " " else head.rpartition(" ")[0]
    return (words.rstrip() or head) + ELLIPSIS


def shortened(title: str) -> str:
    """As much of a title as a person may choose."""
    return _whole_graphemes(title, LONGEST_TITLE).rstrip()


def title_of_copy(title: str) -> str:
    """The title with COPY_MARK, of which the title gives way where both are too long."""
    return _whole_graphemes(title, LONGEST_TITLE - len(COPY_MARK)).rstrip() + COPY_MARK


def _whole_graphemes(line: str, most: int) -> str:
    end = 0
    for grapheme in regex.finditer(r"\X", line[: most * 2]):
        if grapheme.end() > most:
            break
        end = grapheme.end()
    return line[: end or most]
