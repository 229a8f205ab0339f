"""Which view answers an address: the patterns of nanobanana/urls.py, read once into a tree.

Django tries one regular expression after the other for each request. Here an address is taken apart once and
followed from segment to segment; what stands in the patterns literally goes before what may be anything.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver

View = Callable[..., Awaitable[HttpResponseBase]]
LITERAL = re.compile(r"[\w.-]*")
ARGUMENT = re.compile(r"<(?:str:)?(\w+)>")


class Match(NamedTuple):
    """What answers an address: the pattern as declared, its view, and what it takes from the address."""

    route: str
    view: View
    arguments: dict[str, str]


class Leaf(NamedTuple):
    route: str
    view: View
    names: tuple[str, ...]


class Node:
    """What may follow a part of an address."""

    __slots__ = ("argument", "leaf", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.argument: Node | None = None  # behind a segment that may be anything but empty
        self.leaf: Leaf | None = None  # when nothing follows

    def child(self, segment: str) -> "Node":
        if not ARGUMENT.fullmatch(segment):
            return self.literals.setdefault(segment, Node())
        self.argument = self.argument or Node()
        return self.argument

    def find(self, segments: Sequence[str], at: int, values: list[str]) -> Leaf | None:
        """The leaf of the segments from `at` on; `values` becomes what stands for its arguments."""
        if at == len(segments):
            return self.leaf
        segment = segments[at]
        literal = self.literals.get(segment)
        leaf = literal.find(segments, at + 1, values) if literal else None
        if leaf or not segment or not self.argument:
            return leaf
        values.append(segment)
        leaf = self.argument.find(segments, at + 1, values)
        if leaf is None:
            values.pop()
        return leaf


class Routes:
    """All patterns; `re_path("")` has the view of every other address."""

    def __init__(self, patterns: Sequence[URLPattern | URLResolver]) -> None:
        self._root = Node()
        self._otherwise: Match | None = None
        for route, view in declared(patterns):
            self._add(route, view)

    def find(self, path: str) -> Match:
        start, *segments = path.split("/")
        values: list[str] = []
        leaf = None if start else self._root.find(segments, 0, values)
        if leaf is None:
            assert self._otherwise is not None, 'The patterns end with re_path("").'
            return self._otherwise
        return Match(leaf.route, leaf.view, dict(zip(leaf.names, values, strict=True)))

    def _add(self, route: str, view: View) -> None:
        if not route:
            self._otherwise = Match(route, view, {})
            return
        node = self._root
        for segment in route.split("/"):
            if not ARGUMENT.fullmatch(segment) and not LITERAL.fullmatch(segment):
                raise ImproperlyConfigured(f"{route} is no path() of plain and <str:…> segments.")
            node = node.child(segment)
        node.leaf = node.leaf or Leaf(route, view, tuple(ARGUMENT.findall(route)))


def declared(patterns: Sequence[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, View]]:
    """Every pattern, with what the ones around it begin with."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from declared(pattern.url_patterns, route)
        else:
            yield route, pattern.callback
