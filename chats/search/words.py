"""What of a text can be found: words, and runs of scripts that put no space between words."""

import re
from collections.abc import Iterator
from operator import add
from typing import Any

import regex

from chats.search.folding import fold

# A message has as many terms at most; what has more is also found through OVERFLOW, and then read.
MOST_TERMS = 500
LONGEST_TERM = 64  # bytes; the rest of a longer word is left to the reading
PIECE = 1000  # of a run, after which its terms are counted
EVERYTHING, OVERFLOW = "*", "+"  # terms that no word can be: every object has the first

SPACELESS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー\u3099\u309a"
)
IN_WORDS = r"\p{L}\p{M}\p{N}"
TOKEN = regex.compile(rf"(?V1)([[{SPACELESS}]&&[{IN_WORDS}]]+)|([[{IN_WORDS}]--[{SPACELESS}]]+)")
RUN = regex.compile(rf"[{SPACELESS}]")
ASCII_TOKEN = re.compile("[a-z0-9]+")
ASCII_TERM = re.compile(f"([a-z0-9]{{1,{LONGEST_TERM}}})[a-z0-9]*")


def is_run(token: str) -> bool:
    """Whether the token is a run: it is found by any part of it, a word as a whole or by its beginning."""
    return not token.isascii() and RUN.match(token) is not None


def tokens(folded: str) -> list[str]:
    if folded.isascii():
        return ASCII_TOKEN.findall(folded)
    return [run or word for run, word in TOKEN.findall(folded)]


def token_spans(folded: str) -> Iterator[tuple[int, int]]:
    pattern: Any = ASCII_TOKEN if folded.isascii() else TOKEN
    return (match.span() for match in pattern.finditer(folded))


def terms_of(text: str, params: Any = None) -> list[str]:
    """The terms under which an object with this text and these parameters is found, MOST_TERMS at most."""
    if text.isascii():
        found = dict.fromkeys(ASCII_TERM.findall(text.lower()))
    else:
        found = _terms_of_tokens(fold(text))
    if params:
        found.update(dict.fromkeys(parameter_terms(params)))
    if len(found) > MOST_TERMS:
        return [EVERYTHING, OVERFLOW, *list(found)[:MOST_TERMS]]
    return [EVERYTHING, *found]


def _terms_of_tokens(folded: str) -> dict[str, None]:
    """The terms in their order, until there are too many."""
    found: dict[str, None] = {}
    for run, word in TOKEN.findall(folded):
        if word:
            found[bounded(word)] = None
        for start in range(0, len(run), PIECE):
            found.update(dict.fromkeys(bigrams(run[start : start + PIECE + 1])))
            if len(found) > MOST_TERMS:
                return found
        if run:
            found[run[-1]] = None
    return found


def bigrams(run: str) -> Iterator[str]:
    """Each two neighbours. With the last character as well, each character of a run begins a term."""
    return map(add, run, run[1:])


def bounded(word: str) -> str:
    """The word, or as much of its beginning as LONGEST_TERM allows."""
    if len(word) * 4 <= LONGEST_TERM:
        return word
    return word.encode()[:LONGEST_TERM].decode(errors="ignore")


def parameter_terms(params: Any) -> Iterator[str]:
    """The terms of texts that `params` has under a name of its own, alone or in a list."""
    for name, value in params.items() if isinstance(params, dict) else ():
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and (term := parameter_term(name, text)):
                yield term


def parameter_term(name: str, text: str) -> str | None:
    """The term of a parameter; None when it is too long to be one, and is only read."""
    term = f"={name}={fold_value(text)}"
    return term if len(term) <= LONGEST_TERM // 4 or len(term.encode()) <= LONGEST_TERM else None


def fold_value(text: str) -> str:
    """A parameter's text as it is compared: folded, white space as one space."""
    return " ".join(fold(text).split())
