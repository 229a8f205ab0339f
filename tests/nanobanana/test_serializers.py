"""What the apps' serializers share."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework import serializers

from nanobanana.serializers import IdField, IdListField, SwitchField, TextField, timestamp, validate


class Note(serializers.Serializer):
    """A serializer as the apps declare them."""

    title = TextField(min_length=2, max_length=5, trim_whitespace=True)
    text = TextField(required=False, allow_blank=True)
    imageId = IdField(required=False, allow_null=True)
    imageIds = IdListField(required=False, max_length=3)
    isPinned = SwitchField(required=False, source="is_pinned")


def refused(data: Any) -> Any:
    with pytest.raises(serializers.ValidationError) as error:
        validate(Note, data)
    return error.value.detail


def test_unknown_fields_are_left_out_and_absent_ones_stay_absent() -> None:
    assert validate(Note, {"title": "One", "id": 5, "__class__": "x"}) == {"title": "One"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"title": "One", "imageIds": ["b", "a", "b"], "imageId": None},
        {"title": 1, "text": None, "imageIds": [1, "a"], "imageId": []},
        {"title": "x" * 9, "imageIds": list("abcd")},
        {"title": " x "},
        {"title": "One", "isPinned": True},
        {"title": "One", "isPinned": "yes"},
    ],
)
def test_the_short_way_comes_to_what_drf_does(data: Any) -> None:
    note = Note(data=data)
    if note.is_valid():
        assert validate(Note, data) == note.validated_data
    else:
        assert refused(data) == note.errors


def test_requests_do_not_meet_in_the_shared_instance() -> None:
    first = validate(Note, {"title": "One", "imageIds": ["a"]})
    refused({"title": "x"})
    assert validate(Note, {"title": "Two"}) == {"title": "Two"}
    assert first == {"title": "One", "imageIds": ["a"]}


@pytest.mark.parametrize("data", [None, [], "text", 5, [{"title": "One"}]])
def test_what_is_no_object_is_refused(data: Any) -> None:
    assert refused(data)


def test_text_is_kept_as_it_is_unless_it_is_to_be_trimmed() -> None:
    assert validate(Note, {"title": " One ", "text": " \n padded\t"}) == {
        "title": "One",
        "text": " \n padded\t",
    }
    assert validate(Note, {"title": "🍌" * 5}) == {"title": "🍌" * 5}


@pytest.mark.parametrize(
    "value", [None, 5, 5.5, True, ["text"], {}, "", " x ", "x" * 6, "🍌", "a\u0000b", "a\ud800b"]
)
def test_what_is_no_text_of_that_length_is_refused(value: Any) -> None:
    assert refused({"title": value}).keys() == {"title"}


@pytest.mark.parametrize("value", ["x", "01M822V06WVBSKEK0FHWJ50Y3Y", "x" * 64, "../..", None])
def test_an_id_is_any_short_text_and_the_service_says_whether_it_exists(value: str | None) -> None:
    assert validate(Note, {"title": "One", "imageId": value})["imageId"] == value


@pytest.mark.parametrize("value", ["", "x" * 65, 5, True, ["x"], {}])
def test_what_cannot_be_an_id_is_refused(value: Any) -> None:
    assert refused({"title": "One", "imageId": value}).keys() == {"imageId"}


def test_ids_come_in_order_and_once() -> None:
    assert validate(Note, {"title": "One", "imageIds": ["b", "a", "b"]})["imageIds"] == ["b", "a"]


@pytest.mark.parametrize("value", [None, "a", {"a": 1}, [5], [None], [["a"]], ["a", "b", "c", "d"]])
def test_what_is_no_list_of_ids_is_refused(value: Any) -> None:
    assert refused({"title": "One", "imageIds": value}).keys() == {"imageIds"}


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2025, 1, 27, 10, 0, 0, 7000, UTC)
    assert timestamp(moment) == "2025-01-27T10:00:00.007Z"
    assert timestamp(moment.replace(microsecond=0)) == "2025-01-27T10:00:00.000Z"
    assert timestamp(None) is None
