"""What a Dockerfile says, and what a .dockerignore lets into the image; as much of both as ours use."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One instruction: `COPY --from=builder /opt /opt` has the name COPY and the option from."""

    name: str
    options: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments, of the JSON form or separated by spaces."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def steps_of(dockerfile: Path) -> Iterator[Step]:
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    instructions = "\n".join(line for line in lines if line and not line.startswith("#"))
    for line in re.sub(r"\s*\\\n\s*", " ", instructions).splitlines():
        name, options, text = re.findall(r"([A-Z]+)\s+((?:--\S+\s+)*)(.*)", line)[0]
        yield Step(name, dict(re.findall(r"--([\w-]+)=(\S+)", options)), text.strip())


def stages_of(dockerfile: Path) -> list[list[Step]]:
    """The steps of each stage, from its FROM on."""
    stages: list[list[Step]] = []
    for step in steps_of(dockerfile):
        if step.name == "FROM":
            stages.append([])
        stages[-1].append(step)
    return stages


class Ignored:
    """The rules of a .dockerignore: the last one that fits a path, or a directory above it, decides."""

    def __init__(self, file: Path) -> None:
        lines = file.read_text(encoding="utf-8").splitlines()
        rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        self._rules = [(not rule.startswith("!"), _pattern(rule.removeprefix("!"))) for rule in rules]

    def __contains__(self, path: str) -> bool:
        is_ignored = False
        for ignores, pattern in self._rules:
            if pattern.fullmatch(path):
                is_ignored = ignores
        return is_ignored


def _pattern(rule: str) -> re.Pattern[str]:
    """`*` stays within a name, `**` crosses directories; whatever lies below what fits, fits too."""
    escaped = re.escape(rule.strip("/"))
    crossing = escaped.replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.compile(rf"{crossing}(?:/.*)?")


def files_let_in(context: Path, paths: list[str]) -> list[str]:
    """Those of the context's files that COPY can see."""
    ignored = Ignored(context / ".dockerignore")
    return [path for path in paths if path not in ignored]
