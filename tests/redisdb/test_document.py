"""docs/redis-layer.md describes the layer as it is: its example runs, and what it names is there."""

import ast
import re
from pathlib import Path
from typing import Any

from nanobanana.redisdb import exceptions, fields, ids, indexes, managers, models, unit_of_work
from nanobanana.redisdb.event_log import read_behind
from tests.redisdb.toys import Shelf, Told, make_shelf

DOCUMENT = (Path(__file__).parents[2] / "docs" / "redis-layer.md").read_text(encoding="utf-8")


def box_created(shelf_id: str, box_id: str) -> Told:
    return Told("box_created", shelf_id, {"shelfId": shelf_id, "boxId": box_id})


async def run(example: str, names: dict[str, Any]) -> None:
    code = compile(example, "docs/redis-layer.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)


async def test_the_example_does_what_it_says(owner: str) -> None:
    names: dict[str, Any] = {"Shelf": Shelf, "BoxCreated": box_created, "owner_id": owner}
    for module in (fields, ids, indexes, managers, models, unit_of_work):
        names |= vars(module)
    names["shelf"] = shelf = await make_shelf(owner)
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    await run(example, names)
    assert (shelf.title, shelf.box_count) == ("Cats", 1)
    assert names["page"].objects == [names["box"]]
    assert (await read_behind(owner, None)).head == names["work"].cursor


def test_the_tables_have_every_field_and_every_error() -> None:
    classes = [value for value in vars(fields).values() if isinstance(value, type)]
    declared = {
        kind.__name__
        for kind in classes
        if issubclass(kind, fields.Field) and kind.__module__ == fields.__name__
    }
    described = set(re.findall(r"`(\w+Field)`(?=[^\n]*\|)", DOCUMENT))
    assert described == declared - {"Field", "Nullable"}
    errors = set(re.findall(r"^├── (\w+)|^└── (\w+)", exceptions.__doc__ or "", re.MULTILINE))
    for name in {first or last for first, last in errors}:
        assert f"| `{name}` |" in DOCUMENT


def test_every_public_method_of_managers_is_named() -> None:
    methods = [name for name in vars(managers.Manager) if not name.startswith("_") and name != "model"]
    assert [name for name in methods if f"`{name}`" not in DOCUMENT] == []
