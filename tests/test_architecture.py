"""The habits of the code that a machine can hold."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("accounts", "chats", "media_store")
PACKAGES = (*APPS, "realtime", "nanobanana")
SOURCES = [path for package in PACKAGES for path in sorted(ROOT.glob(f"{package}/**/*.py"))]
SERVICES = [path for path in SOURCES if "services" in path.with_suffix("").parts and path.stem != "__init__"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls_of(method: str) -> set[str]:
    """The files in which something is called by this method name."""
    return {
        name_of(path) for path in SOURCES if re.search(rf"\.{method}\(", path.read_text(encoding="utf-8"))
    }


def test_imports_point_down_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout


ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
strangers = {"django", "rest_framework", "channels", "accounts", "chats", "media_store", "realtime"}
ours = {name for name in sys.modules if name.startswith("nanobanana.")}
assert not strangers & set(sys.modules), strangers & set(sys.modules)
assert all("redisdb" in name for name in ours), ours
"""


def test_the_redis_layer_can_leave() -> None:
    """It can be imported alone, in a process that knows neither Django nor us."""
    paths = [name_of(path.with_suffix("")) for path in SOURCES if "redisdb" in path.parts]
    modules = [path.removesuffix("/__init__").replace("/", ".") for path in paths]
    assert len(modules) > 8
    command = [sys.executable, "-c", ALONE, *modules]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("app", APPS)
def test_every_app_has_the_same_files(app: str) -> None:
    names = {path.stem for path in (ROOT / app).glob("*")}  # of a module or a package
    assert names >= {"apps", "managers", "models", "serializers", "services", "urls", "views"}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_empty_themselves(package: str) -> None:
    assert (ROOT / package / "__init__.py").read_text() == ""


def test_key_names_stand_in_one_file() -> None:
    holders = {name_of(path) for path in SOURCES if re.search(r"[\"']nb:", path.read_text(encoding="utf-8"))}
    assert holders == set()
    assert 'PREFIX = "nb"' in (ROOT / "nanobanana/redisdb/keys.py").read_text()


def test_only_services_tell_what_happened() -> None:
    assert calls_of("emit") <= {name_of(path) for path in SERVICES}


def test_only_services_make_change_and_remove_objects() -> None:
    for method in ("objects.create", "objects.update", "objects.add", "objects.delete", "objects.remove_ids"):
        assert calls_of(method) <= {name_of(path) for path in SERVICES}, method


@pytest.mark.parametrize("path", SERVICES, ids=name_of)
def test_services_take_their_arguments_by_name(path: Path) -> None:
    services = importlib.import_module(name_of(path.with_suffix("")).replace("/", "."))
    for name, function in inspect.getmembers(services, inspect.iscoroutinefunction):
        parameters = inspect.signature(function).parameters.values()
        if function.__module__ == services.__name__ and not name.startswith("_"):
            whose = {parameter.name for parameter in parameters} & {"user", "visitor"}
            by_name = all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
            assert by_name or not whose, name


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name_of(path)}:{node.lineno} {node.name}", node


def test_functions_are_short() -> None:
    lengths = sorted((node.end_lineno or 0) - node.lineno + 1 for _, node in functions())
    assert lengths[len(lengths) // 2] <= 9
    assert lengths[len(lengths) * 9 // 10] <= 35
    assert [name for name, node in functions() if (node.end_lineno or 0) - node.lineno > 60] == []


def test_no_error_is_swallowed() -> None:
    """An `except` that does nothing says of exactly which error, and never of all."""
    swallowing = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.body[0], ast.Pass)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    ]
    assert swallowing == []
