"""The models of both clients have exactly the fields of the schema."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import nanobanana_client
import pytest
from nanobanana_client.decoding import json_names

from nanobanana.schema import schema

ROOT = Path(__file__).resolve().parents[2]
TYPESCRIPT = (ROOT / "clients/typescript/src/models.ts").read_text(encoding="utf-8")
OWN_NAMES = {  # of components that the schema names after their calls
    "Ticket": "MakeTicketForSocketAnswer",
    "Health": "CheckHealthAnswer",
    "LogPage": "HearWhatHappenedAnswer",
    "Branches": "ListBranchesOfMessageAnswer",
}
OF_CLIENTS = {"Page", "SearchPage"}


def fields_in_schema(model: str) -> set[str]:
    component: dict[str, Any] = schema()["components"]["schemas"][OWN_NAMES.get(model, model)]
    return set(component["properties"])


def models_in_python() -> dict[str, set[str]]:
    models = vars(nanobanana_client.models)
    return {
        name: {key for key, _ in json_names(model).values()}
        for name, model in models.items()
        if is_dataclass(model) and name not in OF_CLIENTS
    }


def models_in_typescript() -> dict[str, set[str]]:
    interfaces = re.findall(r"^export interface (\w+) {\n(.*?)^}", TYPESCRIPT, flags=re.DOTALL | re.MULTILINE)
    return {name: set(re.findall(r"^  (\w+):", body, flags=re.MULTILINE)) for name, body in interfaces}


@pytest.mark.parametrize("model", models_in_python())
def test_a_model_has_the_fields_of_the_schema(model: str) -> None:
    assert models_in_python()[model] == fields_in_schema(model)
    assert models_in_typescript()[model] == fields_in_schema(model)


def test_both_languages_have_the_same_models() -> None:
    assert models_in_typescript().keys() == models_in_python().keys()
