"""Documents that could go stale, compared with what they describe."""

import re
from itertools import chain
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import get_resolver

from accounts.models import Device, User
from chats.models import Message, Session, TrashedSession
from media_store.models import Image
from nanobanana import errors
from nanobanana.redisdb.fields import CounterField

ROOT = Path(__file__).resolve().parent.parent
MODELS = (User, Device, Session, TrashedSession, Message, Image)
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/*/README.md")]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(name: str) -> list[str]:
    """The fenced blocks, without comments and indentation."""
    blocks = re.findall(r"^ *```.*?^ *```", text_of(name), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+#.*|^ +", "", block, flags=re.MULTILINE) for block in blocks]


def test_env_example_has_exactly_the_variables_that_are_read():
    sources = [*ROOT.glob("nanobanana/*.py")]
    read = set(chain.from_iterable(_variables_read(path.read_text(encoding="utf-8")) for path in sources))
    assert set(_variables_offered()) == read


def _variables_read(source: str) -> list[str]:
    return re.findall(r"\benv\.[a-z_]+\(\s*\"([A-Z0-9_]+)\"", source)


def _variables_offered() -> list[str]:
    return re.findall(r"^([A-Z0-9_]+)=", text_of("env.example"), flags=re.MULTILINE)


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_explains_every_variable(readme):
    offered = [name for name in _variables_offered() if name != "DEBUG"]
    assert [name for name in offered if f"`{name}`" not in text_of(readme)] == []


def test_both_readmes_show_the_same_commands():
    assert code_blocks("README.md") == code_blocks("README.zh-CN.md")


def test_the_table_of_keys_has_the_key_of_every_model_and_index():
    table = re.sub(r"<[a-zA-Z]+>", "*", text_of("docs/redis-keys.md"))
    missing = [
        key for key in chain.from_iterable(map(_keys_of, MODELS)) if f"`nb:{{u:*}}:{key}`" not in table
    ]
    assert missing == []


def _keys_of(model) -> list[str]:
    indexes = [re.sub(r"{\w+}", "*", index.name) for index in model.indexes]
    counters = [field.zero_index for field in model.fields.values() if isinstance(field, CounterField)]
    return [f"{model.kind}:*", *indexes, *filter(None, counters)]


def test_the_table_of_errors_has_every_class_with_its_status():
    import media_store.streaming  # noqa: F401  # it declares one of its own

    rows = set(re.findall(r"\| (\d{3}) \| `(\w+)` \|", text_of("docs/errors.md")))
    declared = {(str(error.status), error.code) for error in _with_subclasses(errors.APIError)}
    assert rows == declared


def _with_subclasses(error):
    return {error, *chain.from_iterable(_with_subclasses(child) for child in error.__subclasses__())}


def test_the_list_of_calls_has_every_route():
    documented = {
        (method, re.sub(r":\w+", "*", path))
        for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?\s]*)", text_of("docs/api.md"))
    }
    assert documented == set(_routes(get_resolver().url_patterns, ""))


def _routes(patterns, prefix):
    for pattern in patterns:
        address = prefix + re.sub(r"<\w+:\w+>", "*", str(pattern.pattern))
        if hasattr(pattern, "url_patterns"):
            yield from _routes(pattern.url_patterns, address)
        elif address:  # the last one catches what nobody else knows
            yield from ((method.upper(), f"/{address}") for method in pattern.callback.actions)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def _own_commands() -> list[str]:
    own = {path.parent.name for path in ROOT.glob("*/apps.py")}
    return sorted(name for name, app in get_commands().items() if app in own)


@pytest.mark.parametrize("command", _own_commands())
def test_every_command_is_in_the_documents(command):
    for document in ("docs/operations.md", "README.md", "README.zh-CN.md"):
        assert any(f"manage.py {command}" in block for block in code_blocks(document)), document


def test_decisions_are_numbered_one_after_the_other():
    decisions = sorted(ROOT.glob("docs/decisions/*.md"))
    numbers = [f"{number:04}" for number in range(1, len(decisions) + 1)]
    assert [decision.name[:4] for decision in decisions] == numbers
    assert [decision.read_text()[:6] for decision in decisions] == [f"# {number}" for number in numbers]


def test_every_make_command_the_readme_names_exists():
    makefile = text_of("Makefile")
    named = set(re.findall(r"`?make ([a-z-]+)", text_of("README.md") + text_of("CONTRIBUTING.md")))
    assert [name for name in named if f"\n{name}:" not in makefile] == []


@pytest.mark.parametrize("path", [".pre-commit-config.yaml", ".github/workflows/checks.yml"])
def test_what_runs_by_itself_runs_what_people_run(path: str) -> None:
    commands = re.findall(r"make (?:lint|test)\b", (ROOT / path).read_text(encoding="utf-8"))
    commands += re.findall(r"command: (test)\b", (ROOT / path).read_text(encoding="utf-8"))
    assert {command.removeprefix("make ") for command in commands} == {"lint", "test"}
