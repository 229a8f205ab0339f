"""The clients know the server from outside, and bring nothing that their users did not ask for."""

import ast
import json
import re
import sys
from pathlib import Path

from tests.clients.conftest import ROOT

PYTHON = sorted((ROOT / "clients/python/nanobanana_client").rglob("*.py"))
TYPESCRIPT = sorted((ROOT / "clients/typescript/src").rglob("*.ts"))


def imports_of(path: Path) -> set[str]:
    """The packages that a file imports, at the top or anywhere."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_the_python_client_imports_what_it_says() -> None:
    imported = set().union(*map(imports_of, PYTHON)) - sys.stdlib_module_names
    assert imported == {"nanobanana_client", "httpx", "websockets"}


def test_the_typescript_client_imports_nothing() -> None:
    sources = [path.read_text(encoding="utf-8") for path in TYPESCRIPT]
    imported = {name for source in sources for name in re.findall(r'(?:from|import\() ?"([^"]+)"', source)}
    assert imported
    assert [name for name in imported if not name.startswith(".")] == []
    package = json.loads((ROOT / "clients/typescript/package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package


def test_both_have_the_same_nouns_and_methods() -> None:
    """`change_password` in Python is `changePassword` in TypeScript."""
    for path in PYTHON:
        if path.parent.name == "api" and path.stem not in {"__init__", "resource"}:
            twin = ROOT / "clients/typescript/src/api" / f"{path.stem}.ts"
            assert methods_of_typescript(twin) == methods_of_python(path), path.stem


def methods_of_python(path: Path) -> set[str]:
    names = re.findall(
        r"^    (?:async )?def ([a-z]\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return {re.sub(r"_(\w)", lambda match: match[1].upper(), name) for name in names}


def methods_of_typescript(path: Path) -> set[str]:
    return set(
        re.findall(r"^  (?:async )?([a-z]\w+)[(<].*", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
