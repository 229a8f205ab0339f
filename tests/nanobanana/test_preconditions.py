"""`If-Match`: which revisions a header allows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanobanana.errors import ValidationFailed
from nanobanana.preconditions import IF_MATCH, etag_of, revisions_named


@pytest.mark.parametrize(
    ("header", "revisions"),
    [
        (None, None),
        ("*", None),
        ('"3"', {3}),
        ('"3","4" ,\t"0"', {0, 3, 4}),
        ('"3", W/"4"', {3}),
        ('"03", "-1", "1e1", ""', set()),
        ('"a,b", "5"', {5}),
        (f'"{10**30}"', set()),
    ],
)
def test_it_names_revisions(header: str | None, revisions: set[int] | None) -> None:
    assert revisions_named(header) == revisions


@pytest.mark.parametrize(
    "header", ["", "3", '"3', '"3" "4"', '"3",', '*, "3"', 'w/"3"', '"3"\n', '"é"', '"٣"', '"3 "']
)
def test_what_is_none_is_refused(header: str) -> None:
    with pytest.raises(ValidationFailed):
        revisions_named(header)


@given(st.integers(0, 10**14))
def test_it_reads_the_etags_we_give(revision: int) -> None:
    assert revisions_named(etag_of(revision)) == {revision}


@given(st.from_regex(IF_MATCH, fullmatch=True) | st.text(alphabet='"W/, *0123\t'))
def test_it_takes_what_the_schema_says(header: str) -> None:
    try:
        revisions_named(header)
    except ValidationFailed:
        assert not re.fullmatch(IF_MATCH, header)
