"""What a query means, and where a text has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chats.search.matching import MOST_HIGHLIGHTS, Document
from chats.search.query import Parameter, parse


def needles(text: str) -> list[str]:
    return [pattern.needle for pattern in parse(text).patterns]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red cat", [" red ", " cat"]),
        ("red cat ", [" red ", " cat "]),
        ("red cat!", [" red ", " cat "]),
        ("red red", [" red ", " red"]),
        ('"red cat"', [" red cat "]),
        ('"red cat', [" red cat "]),
        ('"red" "cat" do', [" red ", " cat ", " do"]),
        ("“red cat”", [" red cat "]),
        ('re"d c"at', [" re ", " d c ", " at"]),
        ('"', []),
        ('""', []),
        ("红色的猫", ["红色的猫"]),
        ("红色 猫", ["红色", "猫"]),
        ("画cat", ["画", " cat"]),
        ('"画cat"', ["画 cat "]),
        ('"cat 猫 dog"', [" cat 猫 dog "]),
        ("CAFÉ", [" cafe"]),
        ("  ", []),
        ("... !?", []),
        ("\x00\ud800", []),
        ("don't", [" don ", " t"]),
        ("params.", [" params "]),
    ],
)
def test_words_and_phrases_are_patterns(text: str, expected: list[str]) -> None:
    assert needles(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params.model:flux", [Parameter(("model",), "flux")]),
        ('params.model:"Flux  Pro" x', [Parameter(("model",), "flux pro")]),
        ('params.model:"Flux', [Parameter(("model",), "flux")]),
        ("params.a.b-c.d_1:2.5", [Parameter(("a", "b-c", "d_1"), "2.5")]),
        ("params.seed: x", [Parameter(("seed",), "")]),
        ("params.model:a params.model:b", [Parameter(("model",), "a"), Parameter(("model",), "b")]),
        ('"params.model:flux"', []),
    ],
)
def test_parameters_have_a_path_and_a_value(text: str, expected: list[Parameter]) -> None:
    assert list(parse(text).parameters) == expected


@pytest.mark.parametrize(
    ("query", "params", "is_met"),
    [
        ("params.model:FLUX", {"model": "Flux"}, True),
        ("params.model:flux", {"model": "flux-pro"}, False),
        ("params.model:flux", {"Model": "flux"}, False),
        ("params.steps:30", {"steps": 30}, True),
        ("params.steps:30", {"steps": 30.0}, True),
        ("params.steps:30", {"steps": "30"}, True),
        ("params.strength:0.80", {"strength": 0.8}, True),
        ("params.steps:30", {"steps": True}, False),
        ("params.on:true", {"on": True}, True),
        ("params.on:true", {"on": 1}, False),
        ("params.on:null", {"on": None}, True),
        ("params.a.b:x", {"a": {"b": "x"}}, True),
        ("params.a.b:x", {"a": [{"b": "y"}, {"b": ["x"]}]}, True),
        ("params.a:", {"a": None}, True),
        ("params.a:", {"b": 1}, False),
        ("params.a:nan", {"a": 1}, False),
        ("params.a.b:x", {"a": "b"}, False),
    ],
)
def test_a_parameter_is_met_by_an_equal_value(query: str, params: dict[str, object], is_met: bool) -> None:
    [parameter] = parse(query).parameters
    assert parameter.holds(params) is is_met


def test_only_texts_that_cannot_be_anything_else_are_asked_of_the_index() -> None:
    assert parse("params.model:flux").groups == [("term", "=model=flux")]
    for query in ("params.steps:30", "params.on:true", "params.a.b:x", "params.a:", f"params.a:{'x' * 80}"):
        assert parse(query).groups == []


@pytest.mark.parametrize(
    ("text", "query", "parts"),
    [
        ("A red cat, a Red CAT and reds", "cat red ", ["red", "cat", "Red", "CAT"]),
        ("reds and red", "red", ["red", "red"]),
        ("👍👍 Straße cafe\u0301s", "strasse cafe", ["Straße", "cafe\u0301"]),
        ("我的红色的猫和狗", "红色的猫", ["红色的猫"]),
        ("ﬁne ﬁsh", "fi", ["ﬁ", "ﬁ"]),
        ("red, cat red cat", '"red cat"', ["red, cat", "red cat"]),
        ("大画 cat fish", '"画cat"', ["画 cat"]),
        ("的的的", "的的", ["的的的"]),
        ("hello world", "hello hel", ["hello"]),
        ("𠮷野家に𠮷野家", "野家", ["野家", "野家"]),
        ("한국어", "국", ["국"]),
        ("e\u0301te\u0301", "ete", ["e\u0301te\u0301"]),
    ],
)
def test_highlights_are_the_parts_that_were_meant(text: str, query: str, parts: list[str]) -> None:
    units = text.encode("utf-16-le")
    document = Document(text)
    assert document.matches(parse(query))
    highlights = document.highlights(parse(query))
    assert [units[2 * start : 2 * end].decode("utf-16-le") for start, end in highlights] == parts


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("red cats", "cat "),
        ("red and cat", '"red cat"'),
        ("红色 的猫", "红色的猫"),
        ("cat猫咪", '"猫 cat"'),
        ("bred", "red"),
        ("猫,咪", "猫咪"),
    ],
)
def test_what_is_not_meant_does_not_match(text: str, query: str) -> None:
    assert not Document(text).matches(parse(query))


def test_highlights_are_bounded() -> None:
    document = Document("red cat " * 1000)
    assert len(document.highlights(parse("red cat "))) == MOST_HIGHLIGHTS


def test_a_short_text_with_all_of_it_is_more_relevant() -> None:
    query = parse("red cat ")
    texts = ["A red cat", "A red cat " + "and more " * 50, "red cat red cat"]
    ranked = sorted(texts, key=lambda text: Document(text).relevance(query), reverse=True)
    assert ranked == [texts[2], texts[0], texts[1]]


@given(st.text(max_size=60), st.text(max_size=30))
def test_nothing_is_an_error(text: str, query: str) -> None:
    document, parsed = Document(text), parse(query)
    document.matches(parsed)
    document.relevance(parsed)
    length = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert all(0 <= start < end <= length for start, end in document.highlights(parsed))


@given(st.text(st.sampled_from("a\" 'params.:猫\ud800\x00é"), max_size=40))
def test_no_query_is_an_error(query: str) -> None:
    for _, term in parse(query).groups:
        assert term.encode()
