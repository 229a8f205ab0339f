"""The tree of errors."""

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from nanobanana import errors


def tree(error: type[errors.APIError] = errors.APIError) -> Iterator[type[errors.APIError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


ERRORS = list(tree())


@pytest.mark.parametrize("error", ERRORS)
def test_it_has_a_status_a_code_and_a_sentence(error: type[errors.APIError]) -> None:
    assert HTTPStatus(error.status) >= 400
    assert error.code == error.code.lower()
    assert error.code.isascii()
    assert error.message.endswith(".")


def test_no_two_have_one_code() -> None:
    codes = [error.code for error in ERRORS]
    assert sorted(set(codes)) == sorted(codes)


def test_a_child_has_the_status_of_its_parent() -> None:
    for error in ERRORS:
        [parent] = error.__bases__
        if parent not in {errors.APIError, Exception}:
            assert error.status == parent.status  # type: ignore[attr-defined]


def test_what_is_worth_trying_again_says_when() -> None:
    assert {error.status for error in ERRORS if error.retry_after} == {409, 429, 503, 507}


def test_the_drawing_shows_all_of_them() -> None:
    drawn = set(re.findall(r"\w+", errors.__doc__ or ""))
    assert {error.__name__ for error in ERRORS} <= drawn
    assert {str(error.status) for error in ERRORS} - {"500"} <= drawn


def test_an_error_can_say_more_than_its_class() -> None:
    error = errors.Conflict("Somebody was faster.", details={"title": ["Taken."]}, retry_after=5)
    assert str(error) == error.message == "Somebody was faster."
    assert (error.details, error.retry_after) == ({"title": ["Taken."]}, 5)
    assert errors.Conflict().message == errors.Conflict.message
