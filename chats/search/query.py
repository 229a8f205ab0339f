"""What a person asks for: words, "phrases" and `params.name:value`. docs/search.md is its manual."""

import re
from dataclasses import dataclass
from typing import Any

from chats.search.folding import fold
from chats.search.words import bigrams, bounded, fold_value, is_run, parameter_term, token_spans, tokens

LONGEST_QUERY = 500  # characters
QUOTES = str.maketrans(dict.fromkeys("“”„‟＂", '"'))
PART = re.compile(r'params\.([\w.\-]+):("[^"]*"?|[^\s"]*)|"([^"]*)"?|((?:(?!params\.[\w.\-]+:)[^\s"])+)')

TERM, PREFIX = "term", "prefix"
Group = tuple[str, str]  # TERM or PREFIX, and which: an object that matches has such a term


@dataclass(frozen=True)
class Pattern:
    """Tokens that stand together: `needle` is found in the tokens of a text, each with a space around it."""

    needle: str
    tokens: tuple[str, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Parameter:
    """A value that `params` must have at `path`; without one, that it has any there."""

    path: tuple[str, ...]
    value: str

    @property
    def group(self) -> Group | None:
        """The index knows texts under a name of their own; what could also be a number is to be read."""
        if len(self.path) > 1 or not self.value or self.value in {"true", "false", "null"}:
            return None
        if _number(self.value) is not None:
            return None
        term = parameter_term(self.path[0], self.value)
        return (TERM, term) if term else None

    def holds(self, params: Any) -> bool:
        return any(self._is_meant(value) for value in _values_at(params, self.path))

    def _is_meant(self, value: Any) -> bool:
        if not self.value:
            return True
        if isinstance(value, str):
            return fold_value(value) == self.value
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value] == self.value
        return isinstance(value, int | float) and value == _number(self.value)


@dataclass(frozen=True)
class Query:
    """All patterns and parameters must be met; without any, nothing is meant and nothing found."""

    patterns: tuple[Pattern, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.patterns and not self.parameters

    @property
    def groups(self) -> list[Group]:
        of_patterns = [group for pattern in self.patterns for group in pattern.groups]
        of_parameters = [each.group for each in self.parameters if each.group]
        return list(dict.fromkeys([*of_parameters, *of_patterns]))


def parse(text: str) -> Query:
    """The query a person wrote; nothing is an error, a quote that stays open is closed at the end."""
    text = text.encode(errors="replace").decode().translate(QUOTES)  # half surrogate pairs are in no text
    patterns: list[Pattern] = []
    parameters: list[Parameter] = []
    for match in PART.finditer(text):
        path, value, phrase, words = match.groups()
        if path is not None:
            parameters.append(Parameter(tuple(path.split(".")), fold_value(value.strip('"'))))
        elif phrase is not None:
            patterns += _phrase(phrase)
        else:
            patterns += _words(words, is_last=match.end() == len(text))
    return Query(tuple(dict.fromkeys(patterns)), tuple(dict.fromkeys(parameters)))


def _phrase(text: str) -> list[Pattern]:
    parts = tokens(fold(text))
    return [_pattern(parts)] if parts else []


def _words(text: str, *, is_last: bool) -> list[Pattern]:
    """Each word for itself; the one at the very end of a query may be the beginning of a longer one."""
    folded = fold(text)
    spans = list(token_spans(folded))
    return [_pattern([folded[start:end]], is_prefix=is_last and end == len(folded)) for start, end in spans]


def _pattern(parts: list[str], *, is_prefix: bool = False) -> Pattern:
    before = "" if is_run(parts[0]) else " "
    behind = "" if is_prefix or is_run(parts[-1]) else " "
    groups = [group for part in parts for group in _groups(part, is_prefix)]
    return Pattern(before + " ".join(parts) + behind, tuple(parts), tuple(groups))


def _groups(token: str, is_prefix: bool) -> list[Group]:
    if is_run(token):
        return [(TERM, pair) for pair in bigrams(token)] or [(PREFIX, token)]
    term = bounded(token)
    return [(PREFIX if is_prefix and term == token else TERM, term)]


def _values_at(value: Any, path: tuple[str, ...]) -> list[Any]:
    """What stands at the path; of lists, each of their members."""
    found = [value]
    for name in path:
        found = [inner[name] for inner in found if isinstance(inner, dict) and name in inner]
        found = [member for inner in found for member in (inner if isinstance(inner, list) else [inner])]
    return found


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() else None
    except ValueError:
        return None
