"""Texts as they are compared: compatible forms as one (NFKC), without case and accents.

Each character of a folded text knows which part of the original it came from, so that hits are shown there.
Which characters are known follows the versions of Python and regex: `manage.py reindex` after a change of it.
"""

import unicodedata
from bisect import bisect_left
from dataclasses import dataclass

import regex

ACCENTS = (1, *range(10, 37), 202, *range(214, 234, 2), 233, 234)  # combining classes; the rest spells
OF_ACCENTS = "".join(rf"\p{{ccc={number}}}" for number in ACCENTS)
IGNORED = regex.compile(  # joiners and variation selectors format; asked for a mark first: that is quick
    rf"(?V1)[\p{{Cf}}\ufe00-\ufe0f[\p{{M}}&&[{OF_ACCENTS}]]]"
)
CLUSTER = regex.compile(r"\X")
VOICING = regex.compile("[\uff9e\uff9f\u3099\u309a]")  # NFC leaves them behind letters of half the width
BEYOND_BMP = regex.compile("[\U00010000-\U0010ffff]")
BMP = 0x10000


class _Folding(dict[int, str]):
    """What becomes of a character; remembered for those of the BMP."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if code < BMP:
            self[code] = folded
        return folded


def _fold_character(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character)  # before case: 𝒜 is a capital only by being an A
    parts = unicodedata.normalize("NFKD", plain.casefold())
    return unicodedata.normalize("NFC", IGNORED.sub("", parts))


_folding = _Folding()
_plain: set[str] = set()  # characters known to become one character


def fold(text: str) -> str:
    """The text as it is compared."""
    if text.isascii():
        return text.lower()
    text = IGNORED.sub("", text)  # it would keep apart what composes
    if _is_composed(text):
        return text.translate(_folding)
    return "".join(map(_composed, CLUSTER.findall(text))).translate(_folding)


@dataclass(frozen=True)
class Folded:
    """A folded text and, for each of its characters, the part of the original it came from.

    Without `starts` and `ends` each character came from the one at its place.
    """

    text: str
    original: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original behind the folded characters from `start` to before `end`."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def fold_with_places(text: str) -> Folded:
    """`fold`, and where each character came from."""
    if text.isascii():
        return Folded(text.lower(), text)
    if IGNORED.search(text):
        return _without_ignored(text)
    is_composed = _is_composed(text)
    if is_composed and _is_plain(text):
        return Folded(text.translate(_folding), text)
    pieces = list(text) if is_composed else CLUSTER.findall(text)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for piece in pieces:
        part = (piece if is_composed else _composed(piece)).translate(_folding)
        at += len(piece)
        parts.append(part)
        starts += [at - len(piece)] * len(part)
        ends += [at] * len(part)
    return Folded("".join(parts), text, starts, ends)


def _without_ignored(text: str) -> Folded:
    """What is ignored belongs to what it stands behind."""
    kept = [at for at, character in enumerate(text) if not IGNORED.match(character)]
    folded = fold_with_places("".join(text[at] for at in kept))
    spans = [folded.span(at, at + 1) for at in range(len(folded.text))]
    behind = [*kept[1:], len(text)]
    return Folded(
        folded.text, text, [kept[start] for start, _ in spans], [behind[end - 1] for _, end in spans]
    )


class Utf16:
    """Places in a text as JavaScript counts them: what lies beyond the BMP counts twice."""

    def __init__(self, text: str) -> None:
        is_plain = text.isascii() or not BEYOND_BMP.search(text)
        self._wide = [] if is_plain else [match.start() for match in BEYOND_BMP.finditer(text)]

    def place(self, index: int) -> int:
        return index + bisect_left(self._wide, index)


def _is_plain(text: str) -> bool:
    """Whether each character becomes one character."""
    for character in set(text) - _plain:
        if len(_folding[ord(character)]) != 1:
            return False
        if ord(character) < BMP:
            _plain.add(character)
    return True


def _is_composed(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text) and not VOICING.search(text)


def _composed(cluster: str) -> str:
    return unicodedata.normalize("NFKC", cluster)
