"""How texts are folded and divided, in many scripts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chats.search.folding import Utf16, fold, fold_with_places
from chats.search.words import LONGEST_TERM, MOST_TERMS, is_run, terms_of, token_spans, tokens


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Red CAT", "red cat"),
        ("Crème Brûlée", "creme brulee"),
        ("Straße, STRASSE", "strasse, strasse"),
        ("İstanbul", "istanbul"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("Ёлка", "елка"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("می\u200cخواهم", "میخواهم"),
        ("ﬁne ① ｆｕｌｌ", "fine 1 full"),
        ("soft\u00adhyphen", "softhyphen"),
        ("cafe\u0301", "cafe"),
        ("か\u3099", "が"),  # no accent: another syllable
        ("ｶﾞ", "ガ"),
        ("\u1112\u1161\u11ab국", "한국"),
        ("क़लम हिन्दी", "क\u093cलम हिन्दी"),  # vowels and nuktas spell
        ("ภาษาไทย", "ภาษาไทย"),
        ("☕\ufe0f", "☕"),
    ],
)
def test_case_accents_and_compatible_forms_are_as_one(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("!!! — ... \x00 🍌", []),
        ("don't stop-me_now", ["don", "t", "stop", "me", "now"]),
        ("SDXL1.0 2048x2048", ["sdxl1", "0", "2048x2048"]),
        ("画一只红色的cat，在月亮上", ["画一只红色的", "cat", "在月亮上"]),
        ("ラーメン カレーライス", ["ラーメン", "カレーライス"]),
        ("고양이 사진", ["고양이", "사진"]),
        ("หมา แมว", ["หมา", "แมว"]),
        ("быстрая лиса", ["быстрая", "лиса"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("𠮷野家 𝒜", ["𠮷野家", "a"]),
    ],
)
def test_words_and_runs_of_any_script_are_found(text: str, expected: list[str]) -> None:
    assert tokens(fold(text)) == expected


def test_scripts_without_spaces_make_runs() -> None:
    assert [
        token for token in ("画", "が", "한", "ไ", "ㄅ", "cat", "лиса", "हि", "שלום", "1") if is_run(token)
    ] == [*("画", "が", "한", "ไ", "ㄅ")]


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("A red, red cat", {}, ["a", "red", "cat"]),
        ("红色的猫", {}, ["红色", "色的", "的猫", "猫"]),
        ("猫", {}, ["猫"]),
        ("cat猫", {}, ["cat", "猫"]),
        ("", {"model": "Flux  Pro", "steps": 30, "on": True, "deep": {"model": "x"}}, ["=model=flux pro"]),
        ("", {"loras": ["One", 2, ["three"]], "none": None}, ["=loras=one"]),
        ("", {"prompt": "long " * 20}, []),
    ],
)
def test_terms_are_words_neighbours_and_texts_of_parameters(
    text: str, params: dict[str, object], expected: list[str]
) -> None:
    assert terms_of(text, params) == ["*", *expected]


@pytest.mark.parametrize("word", ["a" * 100, "é" * 100, "ж" * 100, "𐐀" * 100])
def test_a_long_word_has_a_short_term(word: str) -> None:
    [_, term] = terms_of(word)
    assert fold(word).startswith(term)
    assert LONGEST_TERM - 4 < len(term.encode()) <= LONGEST_TERM


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"word{number}" for number in range(3000)),
        "".join(chr(0x4E00 + number) for number in range(3000)),
        " ".join(f"wörd{number}" for number in range(3000)),
    ],
)
def test_a_text_with_very_many_words_has_a_bounded_number_of_terms(text: str) -> None:
    assert len(terms_of(text)) == MOST_TERMS + 2
    assert terms_of(text)[:2] == ["*", "+"]


TEXTS = st.text(
    st.sampled_from(
        "aB é\u0301ßİıﬁがか\u3099ｶﾞ\uff9e한\u1112\u1161猫🍌𠮷\u200c\ufe0f-1①ﷺ\u0958ไท\u09c7\u09be\u0345ᾳ"
    )
)


@given(TEXTS)
def test_every_folded_character_came_from_somewhere(text: str) -> None:
    folded = fold_with_places(text)
    assert folded.text == fold(text)
    spans = [folded.span(at, at + 1) for at in range(len(folded.text))]
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    for start, end in spans:
        assert fold(text[start:end])


@pytest.mark.parametrize(
    "text", ["か\u200c\u3099", "ᄀ\u200cᅡ", "か\ufe0e\u3099", "ᄀ\u0301ᅡ", "\u09c7\u0301\u09be"]
)
def test_what_is_ignored_keeps_nothing_apart(text: str) -> None:
    [whole] = fold(text)
    assert fold(whole) == whole
    assert fold_with_places(text).span(0, 1) == (0, len(text))


@given(TEXTS)
def test_a_folded_text_stays_as_it_is(text: str) -> None:
    assert tokens(fold(fold(text))) == tokens(fold(text))
    assert [fold(text)[start:end] for start, end in token_spans(fold(text))] == tokens(fold(text))


@given(st.text("aé猫が한 é", max_size=20))
def test_composed_and_decomposed_texts_are_the_same(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


@given(st.text("a猫🍌𠮷", max_size=20))
def test_places_are_counted_as_javascript_does(text: str) -> None:
    places = Utf16(text)
    for at in range(len(text) + 1):
        assert places.place(at) == len(text[:at].encode("utf-16-le")) // 2
