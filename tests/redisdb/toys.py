"""Models and events that belong to no application: shelves with boxes with things in them."""

from dataclasses import dataclass, field
from typing import Any

from nanobanana.redisdb.fields import (
    BinaryField,
    BooleanField,
    CounterField,
    DateTimeField,
    IntegerField,
    JSONField,
    Nullable,
    ReferenceField,
    ReferenceListField,
    TextField,
    now,
)
from nanobanana.redisdb.ids import new_id
from nanobanana.redisdb.indexes import Index
from nanobanana.redisdb.managers import Manager
from nanobanana.redisdb.models import Model
from nanobanana.redisdb.unit_of_work import unit_of_work


class Shelf(Model):
    kind = "shelf"
    title = TextField(default="")
    made_at = DateTimeField(default=now)
    box_count = CounterField()

    indexes = (Index("shelves", score="made_at"),)
    objects: "Manager[Shelf]" = Manager()


class Box(Model):
    """Stands on one shelf, by its rank; refers to its shelf and to things."""

    kind = "box"
    shelf_id = ReferenceField(to="shelf")
    title = TextField(default="")
    note = Nullable(TextField())
    rank = IntegerField(default=0)
    thing_ids = ReferenceListField(to="thing")
    use_count = CounterField(zero_index="unused-boxes")

    indexes = (Index("shelf:{shelf_id}:boxes", score="rank"),)
    objects: "Manager[Box]" = Manager()


class StoredBox(Box):
    """A box put away: the same object under another key."""

    kind = "stored-box"
    indexes = (Index("stored-boxes", score="rank"),)
    objects: "Manager[Box]" = Manager()


class Thing(Model):
    kind = "thing"
    name = TextField(default="")

    objects: "Manager[Thing]" = Manager()


class Sample(Model):
    """One field of each type, required where a type allows it."""

    kind = "sample"
    text = TextField(default="")
    note = Nullable(TextField())
    blob = BinaryField(default=b"")
    picture = Nullable(BinaryField())
    number = IntegerField(default=0)
    size = Nullable(IntegerField())
    count = CounterField()
    flag = BooleanField(default=False)
    choice = Nullable(BooleanField())
    at = DateTimeField(default=now)
    seen_at = Nullable(DateTimeField())
    data = JSONField(default=dict)
    extra = Nullable(JSONField())
    shelf_id = Nullable(ReferenceField(to="shelf"))
    thing_ids = ReferenceListField(to="thing")

    objects: "Manager[Sample]" = Manager()


class Room(Model):
    """Listed while it is open, or among the closed ones; those pinned first; and under each of its tags."""

    kind = "room"
    used_at = IntegerField(default=0)
    closed = BooleanField(default=False)
    pinned_at = Nullable(DateTimeField())
    tags = JSONField(default=list)
    floor = IntegerField(default=0)

    indexes = (
        Index("rooms", score="used_at", unless="closed", lead="pinned_at"),
        Index("closed-rooms", score="used_at", where="closed"),
        Index("room-tag:{tags}", score="floor", each="tags"),
    )
    objects: "Manager[Room]" = Manager()


class Parcel(Model):
    """Has fields without a default."""

    kind = "parcel"
    address = TextField()
    sent_at = DateTimeField()

    objects: "Manager[Parcel]" = Manager()


@dataclass(frozen=True)
class Told:
    """An event."""

    type: str = "told"
    audience: str = ""
    ids: dict[str, str] = field(default_factory=dict)


async def make(instance: Any) -> Any:
    """Store a new object."""
    async with unit_of_work(instance.owner_id) as work:
        instance.objects.create(work, instance)
    return instance


async def make_shelf(owner_id: str, **values: Any) -> Shelf:
    return await make(Shelf(owner_id, new_id(), **values))


async def make_box(shelf: Shelf, **values: Any) -> Box:
    return await make(Box(shelf.owner_id, new_id(), shelf_id=shelf.id, **values))


def boxes_of(shelf: Shelf) -> str:
    """The name of the index of a shelf's boxes."""
    return f"shelf:{shelf.id}:boxes"
