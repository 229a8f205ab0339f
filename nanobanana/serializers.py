"""What the apps' serializers share: validation without per-request set-up, strict text, times as JSON."""

from collections.abc import Hashable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, cast

from django.core.validators import RegexValidator
from rest_framework import serializers

ID = "(?:[0-6][0-9A-HJKMNP-TV-Z]|7[0-5])[0-9A-HJKMNP-TV-Z]{24}"  # a ULID of before the year 10000
# No controls, nor what turns the text behind it round.
PRINTABLE = RegexValidator(
    r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$", "Control characters are not allowed."
)
TIMESTAMPS_REMEMBERED = 8192  # lists show the same times again and again


def validate(serializer_class: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """The validated fields of `data`; unknown ones are left out. Raises DRF's ValidationError.

    DRF copies every declared field for each instance; validation itself keeps no state, so one instance of
    each class serves all requests.
    """
    return _validator_of(cast(Hashable, serializer_class)).run(data)


class Validator:
    """Takes what is valid by the fields themselves; DRF looks at the rest again, to say all that is wrong."""

    def __init__(self, serializer: serializers.Serializer) -> None:
        self._serializer = serializer
        self._fields = [(field.field_name, field) for field in serializer._writable_fields]
        for name, field in self._fields:  # what `_values_of` knows nothing of
            assert len(field.source_attrs) == 1, name
            assert not hasattr(serializer, f"validate_{name}"), name

    def run(self, data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            return dict(self._serializer.run_validation(data))
        try:
            return dict(self._serializer.validate(self._values_of(data)))
        except (serializers.ValidationError, serializers.DjangoValidationError):
            return dict(self._serializer.run_validation(data))

    def _values_of(self, data: dict[str, Any]) -> dict[str, Any]:
        values = {}
        for name, field in self._fields:
            value = data.get(name, serializers.empty)
            try:
                values[field.source] = field.run_validation(value)
            except serializers.SkipField:
                pass  # it need not be there
        return values


@cache
def _validator_of(serializer_class: Hashable) -> Validator:
    return Validator(cast(type[serializers.Serializer], serializer_class)())


class ErrorSerializer(serializers.Serializer):
    """What every error is answered with."""

    error = serializers.CharField(help_text="A code of docs/errors.md.")
    message = serializers.CharField(help_text="A sentence for people.")
    details = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="What is wrong with which field, as sentences.",
    )
    requestId = serializers.CharField(help_text="The same as in `X-Request-Id` and in the log.")


@lru_cache(TIMESTAMPS_REMEMBERED)
def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601, UTC, with milliseconds and `Z`."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z" if moment else None


class CursorField(serializers.RegexField):
    """Where a page of a list ends: the score and the id of its last object."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rf"^[0-9]{{1,15}}:{ID}\Z", **options)


class TextField(serializers.CharField):
    """Text, and only text: no number is taken for one. White space is kept unless asked otherwise."""

    default_error_messages = {"invalid": "This must be text."}

    def __init__(self, *, trim_whitespace: bool = False, **options: Any) -> None:
        super().__init__(trim_whitespace=trim_whitespace, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SwitchField(serializers.BooleanField):
    """true or false, and nothing that could be taken for one."""

    default_error_messages = {"invalid": "This must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class IdField(serializers.Field):
    """The id of an object. What cannot be one is as absent as what never was: the service says so."""

    default_error_messages = {"invalid": "This must be an id."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or not 0 < len(data) <= 64:
            self.fail("invalid")
        return data


class MomentField(serializers.DateTimeField):
    """A time as `timestamp` writes it."""


class IdListField(serializers.ListField):
    """Ids in order, each once."""

    child = IdField()

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))
