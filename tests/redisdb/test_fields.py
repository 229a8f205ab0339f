"""What goes into a field comes out of Redis; what does not fit is refused on both ways."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from nanobanana.redisdb.exceptions import FieldError
from nanobanana.redisdb.fields import Field, Nullable, TextField, milliseconds, now
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.redisdb.toys import Parcel, Sample, make

EVERY_BYTE = bytes(range(256))
MEGABYTE = 1024 * 1024
DEEP = json.loads("[" * 200 + "]" * 200)
SOME_ID, OTHER_ID = new_id(), new_id()

TEXTS = [
    "",
    "a",
    "  ",
    "None",
    "\x00",
    "\r\n",
    "漢字 кириллица",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\x00ÿ",
    "{u:x}:*",
    "x" * MEGABYTE,
    "\uffff",
]
BYTES = [b"", b"\x00\xff", EVERY_BYTE, b"\xed\xa0\x80", b"\xc3\xa9 as it is", EVERY_BYTE * 4096]
NUMBERS = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)]
MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2525, 6, 7, 8, 9, 10, 999_000, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
]
JSONS = [
    {},
    [],
    "",
    0,
    False,
    1e308,
    {"": None},
    {"漢": ["👍", {"\x00": [1, -2.5]}]},
    DEEP,
    10**30,
    "x" * MEGABYTE,
]
VALUES: dict[str, list[Any]] = {
    "text": TEXTS,
    "note": [None, *TEXTS],
    "blob": BYTES,
    "picture": [None, *BYTES],
    "number": NUMBERS,
    "size": [None, *NUMBERS],
    "flag": [True, False],
    "choice": [None, True, False],
    "at": MOMENTS,
    "seen_at": [None, *MOMENTS],
    "data": JSONS,
    "extra": [None, *JSONS],
    "shelf_id": [None, SOME_ID],
    "thing_ids": [[], [SOME_ID], [OTHER_ID, SOME_ID, OTHER_ID]],
}
MISFITS: dict[str, list[Any]] = {
    "text": [1, b"bytes", ["a"], "half a pair \ud83d", "a byte \udcff"],
    "note": [1, b"bytes", "half a pair \ud83d"],
    "blob": ["text", 1, bytearray(b"x"), [1]],
    "picture": ["text", 1],
    "number": ["1", 1.0, True, 2**63, -(2**63) - 1, float("nan")],
    "size": ["1", True, 2**63],
    "count": ["1", 1.0, True, -1, 2**63],
    "flag": [0, 1, "true", []],
    "choice": [0, ""],
    "at": ["2025-01-27", 1737972000000, datetime(2025, 1, 27), datetime.now(UTC).date()],  # noqa: DTZ001
    "seen_at": ["2025-01-27", datetime(2025, 1, 27)],  # noqa: DTZ001
    "data": [{1, 2}, b"bytes", float("nan"), {"a": float("inf")}, {(1,): 2}, "\ud83d", {"a": now()}],
    "extra": [{1, 2}, float("-inf")],
    "shelf_id": ["", "not an id", SOME_ID.lower(), f"{SOME_ID},{OTHER_ID}", 1, SOME_ID + "\n"],
    "thing_ids": [SOME_ID, [1], [""], [f"{SOME_ID},{OTHER_ID}"], (SOME_ID,), {SOME_ID}, 1, [None]],
}
NULLABLE = {name for name, field in Sample.fields.items() if field.nullable}
NONSENSE: dict[str, list[Any]] = {
    "text": [b"\xff", b"\xed\xa0\x80"],
    "note": [b"\xff"],
    "number": ["", "x", "1.0", " 1", "1_000", "٣", "+1", "007", "1e3", str(2**63), "9" * 5000, b"\xff"],
    "size": ["", "null"],
    "count": ["", "many"],
    "flag": ["", "2", "true", "True"],
    "choice": ["", "null"],
    "at": ["", "2025-01-27", "1.5", str(10**15), "NaN"],
    "seen_at": ["", "null"],
    "data": ["", "{", "NaN", "[1,Infinity]", "{'a': 1}", "[" * 100_000, b"\xff"],
    "extra": ["", "undefined"],
    "shelf_id": [b"\xff"],
}


def cases(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}-{position}")
        for name, values in table.items()
        for position, value in enumerate(values)
    ]


async def stored_again(sample: Sample) -> Sample:
    return await Sample.objects.aget(sample.owner_id, sample.id)


@pytest.mark.parametrize(("name", "value"), cases(VALUES))
async def test_what_is_stored_is_read_back(owner: str, name: str, value: Any) -> None:
    sample = await make(Sample(owner, new_id(), **{name: value}))
    read = await stored_again(sample)
    assert getattr(read, name) == value
    assert type(getattr(read, name)) is type(value)
    assert read == sample


@pytest.mark.parametrize("name", sorted(Sample.fields.keys() - NULLABLE))
async def test_none_is_refused_where_a_value_is_needed(owner: str, redis: Redis, name: str) -> None:
    with pytest.raises(FieldError, match=f"^{name} "):
        await make(Sample(owner, new_id(), **{name: None}))
    assert await redis.keys("nb:{*") == []


@pytest.mark.parametrize(("name", "value"), cases(MISFITS))
async def test_a_misfit_is_refused_before_anything_is_sent(
    owner: str, redis: Redis, name: str, value: Any
) -> None:
    with pytest.raises(FieldError, match=f"^{name} "):
        await make(Sample(owner, new_id(), **{name: value}))
    assert await redis.keys("nb:{*") == []


@pytest.mark.parametrize(("name", "value"), [case for case in cases(MISFITS) if case.values[0] != "count"])
async def test_a_misfit_in_an_update_leaves_the_object_as_it_was(owner: str, name: str, value: Any) -> None:
    sample = await make(Sample(owner, new_id()))
    with pytest.raises(FieldError, match=f"^{name} "):
        async with unit_of_work(owner) as work:
            Sample.objects.update(work, sample, **{name: value})
    assert await stored_again(sample) == sample


@pytest.mark.parametrize(("name", "stored"), cases(NONSENSE))
async def test_nonsense_in_redis_is_named(owner: str, redis: Redis, name: str, stored: Any) -> None:
    sample = await make(Sample(owner, new_id()))
    await redis.hset(sample.key, name, stored)
    with pytest.raises(FieldError, match=f"^{name} holds "):
        await stored_again(sample)


async def test_a_required_field_that_is_gone_is_named(owner: str, redis: Redis) -> None:
    parcel = await make(Parcel(owner, new_id(), address="Riva 1", sent_at=now()))
    await redis.hdel(parcel.key, "address")
    with pytest.raises(FieldError, match=r"^address is absent"):
        await Parcel.objects.aget(owner, parcel.id)


async def test_a_required_field_that_was_never_given_is_named(owner: str, redis: Redis) -> None:
    with pytest.raises(FieldError, match=r"^sent_at cannot be None"):
        await make(Parcel(owner, new_id(), address="Riva 1"))
    assert await redis.keys("nb:{*") == []


async def test_a_field_that_is_no_field_is_refused(owner: str) -> None:
    with pytest.raises(TypeError, match="no field colour"):
        Sample(owner, new_id(), colour="red")
    sample = await make(Sample(owner, new_id()))
    with pytest.raises(FieldError, match="no field colour"):
        async with unit_of_work(owner) as work:
            Sample.objects.update(work, sample, colour="red")


async def test_an_object_stored_before_a_field_was_declared_has_its_default(owner: str, redis: Redis) -> None:
    sample = await make(Sample(owner, new_id(), text="old"))
    await redis.hdel(sample.key, "number", "data", "flag", "thing_ids", "count")
    read = await stored_again(sample)
    assert (read.text, read.number, read.data, read.flag, read.thing_ids, read.count) == (
        "old",
        0,
        {},
        False,
        [],
        0,
    )


async def test_a_default_is_not_shared_between_objects(owner: str) -> None:
    first, second = Sample(owner, new_id()), Sample(owner, new_id())
    for sample in (first, second):
        await make(sample)
    first.data["mine"] = True
    first.thing_ids.append(SOME_ID)
    assert (second.data, second.thing_ids) == ({}, [])


async def test_a_moment_of_any_zone_is_the_same_moment_in_utc(owner: str) -> None:
    moment = datetime(2025, 1, 27, 12, 0, 0, 123_000, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    read = await stored_again(await make(Sample(owner, new_id(), at=moment)))
    assert read.at == moment
    assert read.at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(("year", "kept"), [(2025, 123_000), (1950, 123_000)])
async def test_what_is_finer_than_a_millisecond_is_cut_off(owner: str, year: int, kept: int) -> None:
    moment = datetime(year, 1, 27, microsecond=123_999, tzinfo=UTC)
    sample = await make(Sample(owner, new_id(), at=moment))
    assert sample.at == moment.replace(microsecond=kept), "the instance holds what is stored"
    assert (await stored_again(sample)).at == sample.at


def test_now_survives_a_round_trip() -> None:
    moment = now()
    assert moment.microsecond % 1000 == 0
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert milliseconds(moment) == round(moment.timestamp() * 1000)


async def test_none_is_kept_inside_json_and_absent_outside(owner: str, redis: Redis) -> None:
    sample = await make(Sample(owner, new_id(), data=[None, {"a": None}], extra=None))
    assert (await stored_again(sample)).data == [None, {"a": None}]
    assert await redis.hexists(sample.key, "extra") is False


async def test_json_too_deep_to_write_is_refused(owner: str, redis: Redis) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(FieldError, match=r"^data "):
        await make(Sample(owner, new_id(), data=nested))
    assert await redis.keys("nb:{*") == []


async def test_a_field_that_is_not_loaded_says_so(owner: str) -> None:
    handle = Sample.handle(owner, SOME_ID)
    with pytest.raises(AttributeError, match=r"Sample\.text is not loaded"):
        _ = handle.text
    assert not handle.is_loaded
    assert isinstance(Sample.text, TextField)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
ANY_MOMENT = st.datetimes(timezones=st.timezones(), allow_imaginary=False).filter(
    lambda moment: datetime.min.replace(tzinfo=UTC) <= moment <= datetime.max.replace(tzinfo=UTC)
)
ANY_SAMPLE = st.fixed_dictionaries(
    {
        "text": st.text(),
        "note": st.none() | st.text(),
        "blob": st.binary(),
        "picture": st.none() | st.binary(),
        "number": st.integers(-(2**63), 2**63 - 1),
        "count": st.integers(0, 2**53),
        "flag": st.booleans(),
        "at": ANY_MOMENT,
        "data": JSON_VALUES.filter(lambda value: value is not None),
        "thing_ids": st.lists(st.sampled_from([SOME_ID, OTHER_ID])),
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=ANY_SAMPLE)
async def test_any_sample_comes_back_as_it_was(owner: str, values: dict[str, Any]) -> None:
    sample = await make(Sample(owner, new_id(), **values))
    read = await stored_again(sample)
    moment = values.pop("at")
    assert milliseconds(read.at) == milliseconds(moment)
    assert {name: getattr(read, name) for name in values} == values


@given(
    stored=st.text() | st.from_regex(r"-?[0-9]{1,20}", fullmatch=True),
    name=st.sampled_from(sorted(Sample.fields)),
)
def test_reading_anything_gives_a_value_or_names_the_field(name: str, stored: str) -> None:
    value = read_or_error(Sample.fields[name], stored)
    if isinstance(value, FieldError):
        assert str(value).startswith(f"{name} holds ")
    else:
        assert value is not None or stored == "null"


def read_or_error(field: Field[Any], stored: str) -> Any:
    try:
        return field.read(stored)
    except FieldError as error:
        return error


def test_a_nullable_field_shares_the_name_with_the_field_inside() -> None:
    field = Sample.fields["note"]
    assert isinstance(field, Nullable)
    assert (field.name, field.field.name) == ("note", "note")
