"""How a title is cut from a text."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from chats.titles import ELLIPSIS, LONGEST, title_from

FAMILY = "👨‍👩‍👧‍👦"  # seven code points
FLAG = "🇫🇷"  # two
ACCENTED = "e\u0301\u0323"  # three: a letter and two combining marks
THUMB = "👍🏽"  # two


def graphemes(text: str) -> list[str]:
    return regex.findall(r"\X", text)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello, world!", "Hello, world!"),
        ("  Hello,\n\tworld!\r\n ", "Hello, world!"),
        ("画一只坐在长椅上的猫", "画一只坐在长椅上的猫"),
        ("", ""),
        (" \n\t\u3000\xa0", ""),
        ("x" * 50, "x" * 50),
        ("猫" * 50, "猫" * 50),
    ],
)
def test_a_short_text_is_its_own_title(text: str, title: str) -> None:
    assert title_from(text) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (
            "Paint me a cat that sits on a very long bench in the sunshine",
            "Paint me a cat that sits on a very long bench in…",
        ),
        ("x" * 49 + " y", "x" * 49 + "…"),
        ("x" * 48 + " yy", "x" * 48 + "…"),
        ("one " + "x" * 60, "one…"),
        ("x" * 51, "x" * 49 + "…"),
        ("猫" * 60, "猫" * 49 + "…"),
        (FAMILY * 10, FAMILY * 7 + "…"),
        (FLAG * 30, FLAG * 24 + "…"),
        (ACCENTED * 20, ACCENTED * 16 + "…"),
        (THUMB * 30, THUMB * 24 + "…"),
        ("a" + FLAG * 30, "a" + FLAG * 24 + "…"),
        ("한" * 60, "한" * 49 + "…"),
        ("\u1112\u1161\u11ab" * 20, "\u1112\u1161\u11ab" * 16 + "…"),  # the same in three jamos each
    ],
)
def test_a_long_text_is_cut_at_a_word_or_else_at_a_grapheme(text: str, title: str) -> None:
    assert title_from(text) == title


def test_a_grapheme_too_long_for_a_title_is_cut_within() -> None:
    assert title_from("e" + "\u0301" * 100) == "e" + "\u0301" * 48 + "…"


@given(
    st.text(
        st.one_of(st.characters(), st.sampled_from([" ", "\n", "\u0301", "\u200d", "🇫", "👩", "🏽", "한"])),
        max_size=200,
    )
)
def test_a_title_is_always_short_one_line_and_made_of_whole_graphemes(text: str) -> None:
    title = title_from(text)
    line = " ".join(text.split())
    assert len(title) <= LONGEST
    assert len(title.splitlines()) <= 1
    assert bool(title) == bool(line)
    if title != line:
        head = title.removesuffix(ELLIPSIS)
        assert line.startswith(head)
        first = graphemes(line)[0]
        assert graphemes(head) == graphemes(line)[: len(graphemes(head))] or len(first) >= LONGEST
